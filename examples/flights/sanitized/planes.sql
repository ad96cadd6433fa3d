-- The registry spells some manufacturers in several ways; one name each, so that they can be counted.
SELECT
    tailnum AS tail_number,
    "year" AS built_year,
    CASE
        WHEN manufacturer LIKE 'AIRBUS%' THEN 'AIRBUS'
        WHEN manufacturer LIKE 'MCDONNELL DOUGLAS%' THEN 'MCDONNELL DOUGLAS'
        WHEN manufacturer LIKE 'BOMBARDIER%' THEN 'BOMBARDIER'
        WHEN manufacturer LIKE 'CANADAIR%' THEN 'CANADAIR'
        ELSE manufacturer
    END AS manufacturer,
    model,
    "type" AS aircraft_type,
    engine AS engine_type,
    engines,
    seats,
    speed AS cruising_speed_mph
FROM latest.planes
