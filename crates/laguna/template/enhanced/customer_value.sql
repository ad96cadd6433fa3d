-- LEFT JOIN: customers who never ordered are part of the answer.
SELECT
    c.customer_id,
    c.country,
    c.newsletter,
    count(o.order_id) AS orders,
    coalesce(sum(o.amount), 0) AS revenue,
    min(o.ordered_at) AS first_order_at,
    max(o.ordered_at) AS last_order_at
FROM sanitized.customers AS c
LEFT JOIN sanitized.orders AS o
    ON o.customer_id = c.customer_id AND o.status IN ('shipped', 'delivered')
GROUP BY c.customer_id, c.country, c.newsletter
