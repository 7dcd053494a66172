{#
  Net demand per article, country and day. Every invoice line counts: sales, cancellations (`C…`) and other negative
  quantities (goods that came back or were written off). Codes that are no article (postage, fees, vouchers) stay in,
  told apart by their code. A day is one by the shop's clock.
#}
with line as (

  select
    cast(InvoiceDate at time zone 'Europe/London' as date) as sold_on,
    StockCode,
    Country,
    InvoiceNo,
    Quantity,
    UnitPrice,
    _landed_at
  from {{ source("staged_retail", "invoice_line") }}
  where {{ instant_near_rebuilt_months("InvoiceDate") }}

)

select
  max(_landed_at) as _landed_at,
  sold_on as day,
  StockCode as stock_code,
  Country as country,
  cast(sum(Quantity) as bigint) as quantity,
  cast(sum(case when Quantity > 0 then Quantity else 0 end) as bigint) as gross_quantity,
  cast(sum(case when Quantity < 0 then -Quantity else 0 end) as bigint) as returned_quantity,
  cast(round(sum(Quantity * UnitPrice), 2) as decimal(18, 2)) as revenue,
  cast(count(distinct InvoiceNo) as bigint) as invoices
from line
where {{ day_in_rebuilt_months("sold_on") }}
group by sold_on, StockCode, Country
