{# What each known customer has bought so far, cancellations taken off. Lines without a customer belong to nobody. #}
select
  _entity,
  max(_landed_at) as _landed_at,
  _entity as customer_ref,
  min(InvoiceDate) as first_purchase,
  max(InvoiceDate) as last_purchase,
  cast(count(distinct InvoiceNo) as bigint) as invoices,
  cast(count(*) as bigint) as lines,
  cast(sum(Quantity) as bigint) as quantity,
  cast(round(sum(Quantity * UnitPrice), 2) as decimal(18, 2)) as revenue,
  cast(count(distinct cast(InvoiceDate at time zone 'Europe/London' as date)) as bigint) as active_days
from {{ source("staged_retail", "invoice_line") }}
where _entity is not null
group by _entity
