SELECT
    f.carrier,
    a.name AS carrier_name,
    f.flight_date,
    count(*) AS scheduled,
    count(*) FILTER (WHERE f.cancelled) AS cancelled,
    count(*) FILTER (WHERE f.diverted) AS diverted,
    count(f.arrival_delay) AS arrived,
    count(*) FILTER (WHERE f.arrival_delay < {{ var('on_time_minutes') }}) AS arrived_on_time,
    {% for minutes in [30, 60, 180] %}
    count(*) FILTER (WHERE f.arrival_delay >= {{ minutes }}) AS late_{{ minutes }}_min,
    {% endfor %}
    sum(f.arrival_delay) AS arrival_delay_minutes,
    avg(f.departure_delay) AS mean_departure_delay,
    avg(f.arrival_delay) AS mean_arrival_delay,
    max(f.arrival_delay) AS worst_arrival_delay
FROM sanitized.flights AS f
JOIN sanitized.airlines AS a ON a.carrier = f.carrier
GROUP BY f.carrier, a.name, f.flight_date
