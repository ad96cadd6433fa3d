SELECT
    f.carrier,
    a.name AS carrier_name,
    f.flight_number,
    f.tail_number,
    f.origin,
    f.destination,
    d.name AS destination_name,
    f.flight_date,
    CAST(date_trunc('month', f.flight_date) AS DATE) AS flight_month,
    f.scheduled_departure,
    f.cancelled,
    f.diverted,
    f.departure_delay,
    f.arrival_delay,
    f.departure_delay - f.arrival_delay AS minutes_made_up,
    f.air_minutes,
    f.distance_mi,
    w.temperature_c,
    w.wind_speed_kt,
    w.wind_gust_kt,
    w.precipitation_mm,
    w.visibility_mi,
    p.manufacturer,
    p.model,
    p.seats,
    CAST(date_part('year', f.flight_date) AS BIGINT) - p.built_year AS aircraft_age
FROM sanitized.flights AS f
JOIN sanitized.airlines AS a ON a.carrier = f.carrier
LEFT JOIN sanitized.airports AS d ON d.airport = f.destination
LEFT JOIN sanitized.weather AS w ON w.origin = f.origin AND w.observed_at = f.scheduled_hour
LEFT JOIN sanitized.planes AS p ON p.tail_number = f.tail_number
