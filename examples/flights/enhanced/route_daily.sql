-- Grows by the day: only the last days of the table are computed again when a month arrives.
SELECT
    origin,
    destination,
    flight_date,
    count(*) AS scheduled,
    count(*) FILTER (WHERE cancelled) AS cancelled,
    min(carrier) = max(carrier) AS single_carrier,
    count(seats) AS flights_with_known_seats,
    sum(seats) AS known_seats,
    max(distance_mi) AS distance_mi,
    avg(air_minutes) AS mean_air_minutes,
    avg(departure_delay) AS mean_departure_delay,
    avg(arrival_delay) AS mean_arrival_delay
FROM enhanced.flight_delays
GROUP BY origin, destination, flight_date
