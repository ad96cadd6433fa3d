SELECT
    CAST(date_trunc('day', ordered_at) AS DATE) AS day,
    count(*) AS orders,
    count(DISTINCT customer_id) AS customers,
    sum(quantity) AS pieces,
    sum(amount) AS revenue
FROM sanitized.orders
WHERE status IN ('shipped', 'delivered')
GROUP BY 1
