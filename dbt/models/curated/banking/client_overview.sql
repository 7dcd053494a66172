{#
  Each client once, with the accounts they own or may use. An account is a joint one when somebody else has a right to it
  too. Loans and standing orders count for owners only: nobody else may ask for them.
#}
with held as (

  select
    client_id,
    account_id,
    disp_id,
    role,
    _landed_at,
    count(*) over (partition by account_id) as people
  from {{ source("staged_banking", "disposition") }}

),

carded as (

  select
    disp_id,
    max(_landed_at) as landed_at,
    count(*) as cards,
    max(case kind when 'gold' then 3 when 'classic' then 2 else 1 end) as best_card
  from {{ source("staged_banking", "card") }}
  group by disp_id

),

lent as (

  select
    account_id,
    max(_landed_at) as landed_at,
    count(*) as loans,
    sum(amount) as borrowed
  from {{ source("staged_banking", "loan") }}
  group by account_id

),

ordered as (

  select
    account_id,
    max(_landed_at) as landed_at,
    count(*) as standing_orders,
    sum(amount) as standing_amount
  from {{ source("staged_banking", "standing_order") }}
  group by account_id

),

together as (

  select
    held.client_id,
    max(greatest(
      held._landed_at,
      coalesce(account._landed_at, held._landed_at),
      coalesce(carded.landed_at, held._landed_at),
      coalesce(lent.landed_at, held._landed_at),
      coalesce(ordered.landed_at, held._landed_at)
    )) as landed_at,
    count(case when held.role = 'OWNER' then 1 end) as owned_accounts,
    count(case when held.role <> 'OWNER' then 1 end) as usable_accounts,
    count(case when held.people > 1 then 1 end) as joint_accounts,
    min(account.opened_on) as first_opened,
    sum(carded.cards) as cards,
    max(carded.best_card) as best_card,
    sum(case when held.role = 'OWNER' then lent.loans end) as loans,
    sum(case when held.role = 'OWNER' then lent.borrowed end) as borrowed,
    sum(case when held.role = 'OWNER' then ordered.standing_orders end) as standing_orders,
    sum(case when held.role = 'OWNER' then ordered.standing_amount end) as standing_amount
  from held
  left join {{ source("staged_banking", "account") }} as account
    on held.account_id = account.account_id
  left join carded
    on held.disp_id = carded.disp_id
  left join lent
    on held.account_id = lent.account_id
  left join ordered
    on held.account_id = ordered.account_id
  group by held.client_id

)

select
  client._entity,
  greatest(
    client._landed_at,
    coalesce(profile._landed_at, client._landed_at),
    coalesce(district._landed_at, client._landed_at),
    coalesce(together.landed_at, client._landed_at)
  ) as _landed_at,
  client._entity as client_ref,
  cast(extract(year from client.birth_date) as bigint) as birth_year,
  client.sex,
  district.region,
  profile.email__token as email_token,
  coalesce(profile.wants_offers and (profile.email is not null or profile.phone is not null), false) as reachable,
  cast(coalesce(together.owned_accounts, 0) as bigint) as owned_accounts,
  cast(coalesce(together.usable_accounts, 0) as bigint) as usable_accounts,
  cast(coalesce(together.joint_accounts, 0) as bigint) as joint_accounts,
  together.first_opened,
  cast(coalesce(together.cards, 0) as bigint) as cards,
  case together.best_card when 3 then 'gold' when 2 then 'classic' when 1 then 'junior' end as best_card,
  cast(coalesce(together.loans, 0) as bigint) as loans,
  cast(coalesce(together.borrowed, 0) as decimal(18, 2)) as borrowed,
  cast(coalesce(together.standing_orders, 0) as bigint) as standing_orders,
  cast(coalesce(together.standing_amount, 0) as decimal(18, 2)) as standing_amount
from {{ source("staged_banking", "client") }} as client
left join together
  on client.client_id = together.client_id
left join {{ source("staged_banking", "client_profile") }} as profile
  on client._entity = profile._entity
left join {{ source("staged_banking", "district") }} as district
  on client.district_id = district.district_id
