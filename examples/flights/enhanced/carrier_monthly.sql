-- Sums of sums: the daily table is the only place that defines what late means.
SELECT
    carrier,
    carrier_name,
    CAST(date_trunc('month', flight_date) AS DATE) AS flight_month,
    sum(scheduled) AS scheduled,
    sum(cancelled) AS cancelled,
    sum(arrived) AS arrived,
    CAST(sum(cancelled) AS DOUBLE) / sum(scheduled) AS cancelled_share,
    CAST(sum(arrived_on_time) AS DOUBLE) / nullif(sum(arrived), 0) AS on_time_share,
    CAST(sum(arrival_delay_minutes) AS DOUBLE) / nullif(sum(arrived), 0) AS mean_arrival_delay
FROM enhanced.carrier_daily
GROUP BY 1, 2, 3
