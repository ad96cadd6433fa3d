-- Money is exact: decimal, not double.
SELECT
    order_id,
    customer_id,
    ordered_at,
    sku,
    quantity,
    CAST(unit_price AS DECIMAL(10, 2)) AS unit_price,
    CAST(quantity * CAST(unit_price AS DECIMAL(10, 2)) AS DECIMAL(12, 2)) AS amount,
    '{{ var('currency') }}' AS currency,
    status,
    coupon
FROM raw.orders
