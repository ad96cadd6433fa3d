-- Each flight falls into the first condition that holds, the gravest first.
WITH classed AS (
    SELECT
        *,
        CASE
            WHEN visibility_mi IS NULL THEN 'no report'
            WHEN visibility_mi < 3 THEN 'low visibility'
            WHEN precipitation_mm > 0 THEN 'rain or snow'
            WHEN wind_gust_kt >= 25 OR wind_speed_kt >= 20 THEN 'windy'
            ELSE 'fair'
        END AS condition
    FROM enhanced.flight_delays
)
SELECT
    origin,
    condition,
    count(*) AS scheduled,
    count(*) FILTER (WHERE cancelled) AS cancelled,
    CAST(count(*) FILTER (WHERE cancelled) AS DOUBLE) / count(*) AS cancelled_share,
    avg(departure_delay) AS mean_departure_delay,
    avg(arrival_delay) AS mean_arrival_delay
FROM classed
GROUP BY origin, condition
