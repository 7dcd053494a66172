{#
  What moved on each account by month, and where that left it. The bank tells a balance with every movement, but not in
  which order a day's movements came, and it rounds to tenths. So the balance is what the movements add up to, and of the
  balances told on the month's last day the nearest one is shown beside it; the contract says how far apart they may be.
  Accounts are opened empty, and the movements begin with their opening.
#}
with movement as (

  select
    _entity,
    _landed_at,
    booked_on,
    cast(date_trunc('month', booked_on) as date) as month,
    amount,
    balance,
    case when direction = 'PRIJEM' then amount else -amount end as moved
  from {{ source("staged_banking", "transaction") }}

),

moved_by_day as (

  select
    _entity,
    booked_on,
    sum(moved) as moved
  from movement
  group by _entity, booked_on

),

left_by_day as (

  select
    _entity,
    booked_on,
    sum(moved) over (
      partition by _entity
      order by booked_on
      rows between unbounded preceding and current row
    ) as left_over
  from moved_by_day

),

told as (

  select
    movement._entity,
    movement.month,
    movement.balance,
    left_by_day.left_over,
    row_number() over (
      partition by movement._entity, movement.month
      order by movement.booked_on desc, abs(movement.balance - left_by_day.left_over), movement.balance
    ) as place
  from movement
  inner join left_by_day
    on movement._entity = left_by_day._entity
    and movement.booked_on = left_by_day.booked_on

),

moved_by_month as (

  select
    _entity,
    month,
    max(_landed_at) as landed_at,
    count(*) as movements,
    sum(case when moved > 0 then moved else 0 end) as credited,
    sum(case when moved < 0 then -moved else 0 end) as debited,
    min(balance) as lowest_balance
  from movement
  group by _entity, month

)

select
  whole._entity,
  max(whole.landed_at) over (
    partition by whole._entity
    order by whole.month
    rows between unbounded preceding and current row
  ) as _landed_at,
  whole._entity as account_ref,
  whole.month,
  cast(whole.movements as bigint) as movements,
  cast(whole.credited as decimal(18, 2)) as credited,
  cast(whole.debited as decimal(18, 2)) as debited,
  cast(told.left_over - whole.credited + whole.debited as decimal(18, 2)) as opening_balance,
  cast(told.left_over as decimal(18, 2)) as closing_balance,
  cast(told.balance as decimal(18, 2)) as told_balance,
  cast(told.balance - told.left_over as decimal(18, 2)) as balance_gap,
  cast(whole.lowest_balance as decimal(18, 2)) as lowest_balance
from moved_by_month as whole
inner join told
  on whole._entity = told._entity
  and whole.month = told.month
  and told.place = 1
