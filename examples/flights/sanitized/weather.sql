-- To the units that pilots and the rest of the world use. Wind came in knots once: the source multiplied by 1.15078.
{% macro celsius(column) %}round(({{ column }} - 32) * 5 / 9, 1){% endmacro %}
{% macro knots(column) %}round({{ column }} / 1.15078, 0){% endmacro %}
SELECT
    origin,
    time_hour AS observed_at,
    make_date("year", "month", "day") AS local_date,
    "hour" AS local_hour,
    {{ celsius('temp') }} AS temperature_c,
    {{ celsius('dewp') }} AS dew_point_c,
    humid AS humidity_pct,
    wind_dir AS wind_direction_deg,
    -- One February night Newark reports 1,048 miles an hour. What cannot be is unknown.
    CASE WHEN wind_speed <= {{ var('max_wind_mph') }} THEN {{ knots('wind_speed') }} END AS wind_speed_kt,
    {{ knots('wind_gust') }} AS wind_gust_kt,
    round(precip * 25.4, 2) AS precipitation_mm,
    pressure AS pressure_hpa,
    visib AS visibility_mi
FROM latest.weather
