-- Clock times become instants. The schedule is a local date and a local clock time in New York; a departure is the
-- schedule plus its delay. So a flight of 23:59 that left at 00:42 gets the right day, and so does one of the night when
-- clocks change; `dep_time` (042, of which day?) is only used by the check that compares the two.
WITH scheduled AS (
    SELECT
        *,
        make_date("year", "month", "day") AS flight_date,
        (make_date("year", "month", "day") + make_time(sched_dep_time / 100, sched_dep_time % 100, 0))
            AT TIME ZONE 'America/New_York' AT TIME ZONE 'UTC' AS scheduled_departure
    FROM raw.flights
)
SELECT
    carrier,
    flight AS flight_number,
    tailnum AS tail_number,
    origin,
    dest AS destination,
    flight_date,
    scheduled_departure,
    scheduled_departure + CAST(dep_delay || ' minutes' AS INTERVAL) AS actual_departure,
    time_hour AS scheduled_hour,
    dep_time AS reported_departure,
    dep_time IS NULL AS cancelled,
    dep_time IS NOT NULL AND arr_delay IS NULL AS diverted,
    dep_delay AS departure_delay,
    arr_delay AS arrival_delay,
    air_time AS air_minutes,
    distance AS distance_mi
FROM scheduled
