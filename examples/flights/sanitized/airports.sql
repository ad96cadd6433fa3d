-- Three faults of the source are mended here:
--   names carry a backslash before the apostrophe,
--   two airports lost the minus of their longitude, and were given China's time zone for it,
--   one has latitude and longitude swapped (and the sign lost).
-- A time zone that is missing or wrong is null: nothing here guesses.
WITH placed AS (
    SELECT
        *,
        tzone = 'Asia/Chongqing' AS sign_lost,
        lat > 72 AND lon > 0 AS swapped
    FROM latest.airports
)
SELECT
    faa AS airport,
    replace(name, '\', '') AS name,
    CASE WHEN swapped THEN lon ELSE lat END AS latitude,
    CASE WHEN swapped THEN -lat WHEN sign_lost THEN -lon ELSE lon END AS longitude,
    alt AS altitude_ft,
    CASE WHEN sign_lost THEN NULL ELSE tz END AS utc_offset_hours,
    CASE dst WHEN 'A' THEN true WHEN 'N' THEN false END AS has_summer_time,
    CASE WHEN sign_lost THEN NULL ELSE tzone END AS time_zone
FROM placed
