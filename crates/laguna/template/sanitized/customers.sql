-- A model is one SELECT; its path is its name: sanitized.customers.
-- What it reads is found in the SQL, so latest.customers is built first.
SELECT
    customer_id,
    name,
    lower(trim(email)) AS email,
    country,
    city,
    postcode,
    newsletter,
    updated_at
FROM latest.customers
