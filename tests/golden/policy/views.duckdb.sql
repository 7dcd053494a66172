-- fraud curated.claims.claim as analysts
SELECT
  CAST(CASE WHEN NOT "t"."policy" IS NULL THEN '***' END AS TEXT) AS "policy",
  "t"."email__token" AS "email",
  CAST(CASE WHEN NOT "t"."name" IS NULL THEN '***' END AS TEXT) AS "name",
  CAST(CASE
    WHEN (
      "t"."age" % 10
    ) >= 0
    THEN "t"."age" - (
      "t"."age" % 10
    )
    WHEN (
      "t"."age" - (
        "t"."age" % 10
      )
    ) >= -9223372036854775798
    THEN "t"."age" - (
      "t"."age" % 10
    ) - 10
  END AS BIGINT) AS "age",
  CAST(NULL AS TEXT) AS "diagnosis",
  "t"."region" AS "region",
  "t"."reported" AS "reported"
FROM "base"."curated.claims.claim" AS "t"
WHERE
  (
    "t"."region" IN ('EU', 'UK') OR "t"."reported" IS NULL
  )
  AND "t"."region" <> 'EU'
  AND "t"."reported" >= CAST('2023-03-31 00:00:00+00:00' AS TIMESTAMPTZ)
  AND "t"."_restricted_until" IS NULL
  AND "t"."_entity" IN (
    SELECT
      "c"."entity"
    FROM "base"."consent_current" AS "c"
    WHERE
      "c"."purpose" = 'fraud'
      AND "c"."given"
      AND (
        "c"."expires_on" IS NULL OR "c"."expires_on" >= CAST('2026-03-31' AS DATE)
      )
  )

-- fraud curated.claims.claim as analysts, seniors, eu_staff
SELECT
  "t"."policy" AS "policy",
  "t"."email" AS "email",
  "t"."name" AS "name",
  "t"."age" AS "age",
  CAST(NULL AS TEXT) AS "diagnosis",
  "t"."region" AS "region",
  "t"."reported" AS "reported"
FROM "base"."curated.claims.claim" AS "t"
WHERE
  "t"."reported" >= CAST('2023-03-31 00:00:00+00:00' AS TIMESTAMPTZ)
  AND "t"."_restricted_until" IS NULL
  AND "t"."_entity" IN (
    SELECT
      "c"."entity"
    FROM "base"."consent_current" AS "c"
    WHERE
      "c"."purpose" = 'fraud'
      AND "c"."given"
      AND (
        "c"."expires_on" IS NULL OR "c"."expires_on" >= CAST('2026-03-31' AS DATE)
      )
  )

-- fraud staged.claims.rate as seniors
SELECT
  CASE WHEN ISFINITE("t"."rate") THEN "t"."rate" END AS "rate"
FROM "base"."staged.claims.rate" AS "t"
WHERE
  "t"."_restricted_until" IS NULL

-- study curated.claims.claim as analysts
SELECT
  "t"."policy" AS "policy",
  "t"."email" AS "email",
  "t"."name" AS "name",
  "t"."age" AS "age",
  "t"."diagnosis" AS "diagnosis",
  "t"."region" AS "region",
  "t"."reported" AS "reported"
FROM "copy"."study.claims_claim" AS "t"
WHERE
  "t"."_event_day" >= CAST('2024-09-30' AS DATE)
  AND "t"."_restricted_until" IS NULL

-- triage curated.claims.claim as nurses
SELECT
  CAST(CASE WHEN NOT "t"."policy" IS NULL THEN '***' END AS TEXT) AS "policy",
  CAST(CASE WHEN NOT "t"."email" IS NULL THEN '***' END AS TEXT) AS "email",
  CAST(CASE WHEN NOT "t"."name" IS NULL THEN '***' END AS TEXT) AS "name",
  CAST(NULL AS BIGINT) AS "age",
  "t"."diagnosis" AS "diagnosis",
  "t"."region" AS "region",
  "t"."reported" AS "reported"
FROM "base"."curated.claims.claim" AS "t"
WHERE
  "t"."region" <> 'EU'

-- triage staged.claims.person as nurses
SELECT
  "t"."_entity" AS "number",
  CAST(NULL AS DATE) AS "born"
FROM "base"."staged.claims.person" AS "t"
WHERE
  "t"."_valid_to" IS NULL
