-- text IN ('EU', 'it''s') AND text NOT LIKE 'a\_%'
"t"."text" IN ('EU', 'it''s') AND NOT ("t"."text" LIKE 'a\_%')
-- text BETWEEN 'a' AND 'b' OR text IS NULL
("t"."text" >= 'a' AND "t"."text" <= 'b') OR "t"."text" IS NULL
-- whole >= 1.5 AND whole <> 1.5 AND whole IN (1, 2.5)
"t"."whole" >= 2 AND CASE WHEN NOT "t"."whole" IS NULL THEN TRUE END AND "t"."whole" IN (1)
-- money < 0.005 AND money = whole
"t"."money" <= CAST('0' AS DECIMAL(12, 2)) AND CAST("t"."money" AS DECIMAL(21, 2)) = CAST("t"."whole" AS DECIMAL(21, 2))
-- ratio > -1.5e0 AND ratio < 5e-324 OR ratio IS NOT NULL
(CASE WHEN NOT ISNAN("t"."ratio") THEN "t"."ratio" END > -1.5E0 AND CASE WHEN NOT ISNAN("t"."ratio") THEN "t"."ratio" END < 5E-324) OR NOT (CASE WHEN NOT ISNAN("t"."ratio") THEN "t"."ratio" END IS NULL)
-- open AND NOT open = FALSE
"t"."open" AND NOT ("t"."open" = FALSE)
-- born <= current_date AND born > DATE '0001-01-01'
"t"."born" <= "the_day" AND "t"."born" > CAST('0001-01-01' AS DATE)
-- seen >= TIMESTAMP '2024-02-29 00:00:00' AND seen < TIMESTAMP '2024-02-29 00:00:00.000001'
"t"."seen" >= CAST('2024-02-29 00:00:00+00:00' AS TIMESTAMPTZ) AND "t"."seen" < CAST('2024-02-29 00:00:00.000001+00:00' AS TIMESTAMPTZ)
