CREATE OR REPLACE VIEW "serve"."fraud"."claims"
SECURITY DEFINER AS
SELECT
  CASE
    WHEN CONTAINS(CURRENT_GROUPS(), 'seniors') AND CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN CASE
      WHEN CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE) <= CAST('2027-06-30' AS DATE)
      THEN "t"."policy"
      ELSE CAST(CASE WHEN NOT "t"."policy" IS NULL THEN '***' END AS VARCHAR)
    END
    WHEN CONTAINS(CURRENT_GROUPS(), 'seniors')
    AND NOT CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN "t"."policy"
    WHEN NOT CONTAINS(CURRENT_GROUPS(), 'seniors')
    AND CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN CAST(CASE WHEN NOT "t"."policy" IS NULL THEN '***' END AS VARCHAR)
    ELSE CAST(NULL AS VARCHAR)
  END AS "policy",
  CASE
    WHEN CONTAINS(CURRENT_GROUPS(), 'seniors') AND CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN CASE
      WHEN CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE) <= CAST('2027-06-30' AS DATE)
      THEN "t"."email"
      ELSE "t"."email__token"
    END
    WHEN CONTAINS(CURRENT_GROUPS(), 'seniors')
    AND NOT CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN "t"."email"
    WHEN NOT CONTAINS(CURRENT_GROUPS(), 'seniors')
    AND CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN "t"."email__token"
    ELSE CAST(NULL AS VARCHAR)
  END AS "email",
  CASE
    WHEN CONTAINS(CURRENT_GROUPS(), 'seniors') AND CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN CASE
      WHEN CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE) <= CAST('2027-06-30' AS DATE)
      THEN "t"."name"
      ELSE '***' || SUBSTR(
        "t"."name",
        (
          LENGTH("t"."name") + 1
        ) - LEAST(GREATEST(LENGTH("t"."name") - 1, 0) / 2, 2)
      )
    END
    WHEN CONTAINS(CURRENT_GROUPS(), 'seniors')
    AND NOT CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN "t"."name"
    WHEN NOT CONTAINS(CURRENT_GROUPS(), 'seniors')
    AND CONTAINS(CURRENT_GROUPS(), 'analysts')
    THEN CAST(CASE WHEN NOT "t"."name" IS NULL THEN '***' END AS VARCHAR)
    ELSE CAST(NULL AS VARCHAR)
  END AS "name",
  CASE
    WHEN CONTAINS(CURRENT_GROUPS(), 'analysts') AND CONTAINS(CURRENT_GROUPS(), 'seniors')
    THEN CASE
      WHEN CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE) <= CAST('2027-06-30' AS DATE)
      THEN "t"."age"
      ELSE CAST(CASE
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
      END AS BIGINT)
    END
    WHEN CONTAINS(CURRENT_GROUPS(), 'analysts')
    AND NOT CONTAINS(CURRENT_GROUPS(), 'seniors')
    THEN CAST(CASE
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
    END AS BIGINT)
    WHEN NOT CONTAINS(CURRENT_GROUPS(), 'analysts')
    AND CONTAINS(CURRENT_GROUPS(), 'seniors')
    THEN "t"."age"
    ELSE CAST(NULL AS BIGINT)
  END AS "age",
  CAST(NULL AS VARCHAR) AS "diagnosis",
  "t"."region" AS "region",
  "t"."reported" AS "reported"
FROM "lake"."curated_claims"."claim" AS "t"
WHERE
  (
    (
      CONTAINS(CURRENT_GROUPS(), 'seniors')
      AND CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE) <= CAST('2027-06-30' AS DATE)
    )
    OR (
      CONTAINS(CURRENT_GROUPS(), 'analysts')
      AND (
        "t"."region" IN ('EU', 'UK') OR "t"."reported" IS NULL
      )
    )
  )
  AND (
    CONTAINS(CURRENT_GROUPS(), 'eu_staff') OR "t"."region" <> 'EU'
  )
  AND "t"."reported" >= WITH_TIMEZONE(
    CAST(DATE_ADD('year', -3, CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE)) AS TIMESTAMP(3)),
    'UTC'
  )
  AND "t"."_restricted_until" IS NULL
  AND "t"."_entity" IN (
    SELECT
      "c"."entity"
    FROM "lake"."platform"."consent_current" AS "c"
    WHERE
      "c"."purpose" = 'fraud'
      AND "c"."given"
      AND (
        "c"."expires_on" IS NULL
        OR "c"."expires_on" >= CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE)
      )
  )

CREATE OR REPLACE VIEW "serve"."fraud"."claims_rate"
SECURITY DEFINER AS
SELECT
  CASE WHEN IS_FINITE("t"."rate") THEN "t"."rate" END AS "rate"
FROM "lake"."staged_claims"."rate" AS "t"
WHERE
  (
    CONTAINS(CURRENT_GROUPS(), 'analysts') OR CONTAINS(CURRENT_GROUPS(), 'seniors')
  )
  AND "t"."_restricted_until" IS NULL

CREATE OR REPLACE VIEW "serve"."study"."claims_claim"
SECURITY DEFINER AS
SELECT
  "t"."policy" AS "policy",
  "t"."email" AS "email",
  "t"."name" AS "name",
  "t"."age" AS "age",
  "t"."diagnosis" AS "diagnosis",
  "t"."region" AS "region",
  "t"."reported" AS "reported"
FROM "lake"."copy_study"."claims_claim" AS "t"
WHERE
  CONTAINS(CURRENT_GROUPS(), 'analysts')
  AND CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE) <= CAST('2026-12-31' AS DATE)
  AND "t"."_event_day" >= DATE_ADD('month', -18, CAST(AT_TIMEZONE(CURRENT_TIMESTAMP, 'UTC') AS DATE))
  AND "t"."_restricted_until" IS NULL

CREATE OR REPLACE VIEW "serve"."triage"."claims_claim"
SECURITY DEFINER AS
SELECT
  CAST(CASE WHEN NOT "t"."policy" IS NULL THEN '***' END AS VARCHAR) AS "policy",
  CAST(CASE WHEN NOT "t"."email" IS NULL THEN '***' END AS VARCHAR) AS "email",
  CAST(CASE WHEN NOT "t"."name" IS NULL THEN '***' END AS VARCHAR) AS "name",
  CAST(NULL AS BIGINT) AS "age",
  "t"."diagnosis" AS "diagnosis",
  "t"."region" AS "region",
  "t"."reported" AS "reported"
FROM "lake"."curated_claims"."claim" AS "t"
WHERE
  CONTAINS(CURRENT_GROUPS(), 'nurses')
  AND (
    CONTAINS(CURRENT_GROUPS(), 'eu_staff') OR "t"."region" <> 'EU'
  )

CREATE OR REPLACE VIEW "serve"."triage"."claims_person"
SECURITY DEFINER AS
SELECT
  "t"."_entity" AS "number",
  CAST(NULL AS DATE) AS "born"
FROM "lake"."staged_claims"."person" AS "t"
WHERE
  CONTAINS(CURRENT_GROUPS(), 'nurses') AND "t"."_valid_to" IS NULL

CREATE OR REPLACE VIEW "serve"."triage"."claims_rate"
SECURITY DEFINER AS
SELECT
  CASE WHEN IS_FINITE("t"."rate") THEN "t"."rate" END AS "rate"
FROM "lake"."staged_claims"."rate" AS "t"
WHERE
  CONTAINS(CURRENT_GROUPS(), 'nurses')
