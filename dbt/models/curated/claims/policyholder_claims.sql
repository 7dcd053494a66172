{#
  Each policyholder by policy year: what was insured, what it cost, and what all earlier years had cost. A policy is
  exposed for its whole year. Claims without a policy (the contract lets one in a hundred pass) belong to no exposure and
  are left out.
#}
with insured as (

  select
    _entity,
    year_start,
    max(_landed_at) as landed_at,
    count(*) as exposure_years,
    sum(vh_value) as insured_value,
    max(pol_bonus) as worst_bonus,
    max(pol_duration) as longest_held
  from {{ source("staged_claims", "policy") }}
  group by _entity, year_start

),

claimed as (

  select
    _entity,
    year_start,
    max(_landed_at) as landed_at,
    sum(claim_nb) as claims,
    sum(case when claim_amount > 0 then claim_amount else 0 end) as paid,
    sum(case when claim_amount < 0 then -claim_amount else 0 end) as recovered,
    max(claim_amount) as largest_claim
  from {{ source("staged_claims", "claim") }}
  group by _entity, year_start

),

counted as (

  select
    insured._entity,
    greatest(insured.landed_at, coalesce(claimed.landed_at, insured.landed_at)) as landed_at,
    insured.year_start,
    insured.exposure_years,
    insured.insured_value,
    insured.worst_bonus,
    insured.longest_held,
    coalesce(claimed.claims, 0) as claims,
    coalesce(claimed.paid, 0) as paid,
    coalesce(claimed.recovered, 0) as recovered,
    claimed.largest_claim
  from insured
  left join claimed
    on insured._entity = claimed._entity
    and insured.year_start = claimed.year_start

)

select
  counted._entity,
  max(greatest(counted.landed_at, coalesce(holder._landed_at, counted.landed_at))) over (
    partition by counted._entity
    order by counted.year_start
    rows between unbounded preceding and current row
  ) as _landed_at,
  counted._entity as policyholder_ref,
  counted.year_start,
  cast(counted.exposure_years as bigint) as exposure_years,
  cast(counted.insured_value as decimal(18, 2)) as insured_value,
  cast(counted.worst_bonus as decimal(4, 2)) as worst_bonus,
  cast(counted.longest_held as bigint) as longest_held,
  holder._entity is not null as has_profile,
  cast(counted.claims as bigint) as claims,
  cast(counted.paid as decimal(18, 2)) as paid,
  cast(counted.recovered as decimal(18, 2)) as recovered,
  cast(counted.paid - counted.recovered as decimal(18, 2)) as net,
  cast(counted.largest_claim as decimal(18, 2)) as largest_claim,
  cast(counted.claims * 1.0 / counted.exposure_years as decimal(12, 6)) as claim_frequency,
  cast(coalesce(sum(counted.claims) over (
    partition by counted._entity
    order by counted.year_start
    rows between unbounded preceding and 1 preceding
  ), 0) as bigint) as claims_before,
  cast(coalesce(sum(counted.paid - counted.recovered) over (
    partition by counted._entity
    order by counted.year_start
    rows between unbounded preceding and 1 preceding
  ), 0) as decimal(18, 2)) as net_before
from counted
left join {{ source("staged_claims", "policyholder") }} as holder
  on counted._entity = holder._entity
