-- `airlines.csv` is a snapshot: latest.airlines is the newest delivery.
SELECT
    carrier,
    trim(name) AS name
FROM latest.airlines
