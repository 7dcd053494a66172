-- hide of string
CAST(NULL AS VARCHAR)
-- redact of string
CAST(CASE WHEN NOT "text" IS NULL THEN '***' END AS VARCHAR)
-- prefix(2) of string
SUBSTR("text", 1, 2)
-- partial(4) of string
'***' || SUBSTR("text", (LENGTH("text") + 1) - LEAST(GREATEST(LENGTH("text") - 1, 0) / 2, 4))
-- token of string
"text__token"
-- clear of string
"text"
-- hide of integer
CAST(NULL AS BIGINT)
-- bucket(10) of integer
CAST(CASE WHEN ("whole" % 10) >= 0 THEN "whole" - ("whole" % 10) WHEN ("whole" - ("whole" % 10)) >= -9223372036854775798 THEN "whole" - ("whole" % 10) - 10 END AS BIGINT)
-- token of integer
"whole__token"
-- clear of integer
"whole"
-- hide of decimal(12,2)
CAST(NULL AS DECIMAL(12, 2))
-- bucket(10) of decimal(12,2)
CAST(CASE WHEN ("money" % CAST('10' AS DECIMAL(12, 2))) >= CAST('0' AS DECIMAL(12, 2)) THEN "money" - ("money" % CAST('10' AS DECIMAL(12, 2))) WHEN ("money" - ("money" % CAST('10' AS DECIMAL(12, 2)))) >= CAST('-9999999989' AS DECIMAL(12, 2)) THEN "money" - ("money" % CAST('10' AS DECIMAL(12, 2))) - CAST('10' AS DECIMAL(12, 2)) END AS DECIMAL(12, 2))
-- token of decimal(12,2)
"money__token"
-- clear of decimal(12,2)
"money"
-- hide of float
CAST(NULL AS DOUBLE)
-- bucket(10) of float
CASE WHEN ABS("ratio") < 9007199254740992.0E0 THEN CASE WHEN ("ratio" % 10.0E0) >= 0.0E0 THEN "ratio" - ("ratio" % 10.0E0) WHEN ("ratio" - ("ratio" % 10.0E0) - 10.0E0) > -9007199254740992.0E0 THEN "ratio" - ("ratio" % 10.0E0) - 10.0E0 END END
-- token of float
CASE WHEN IS_FINITE("ratio") THEN "ratio__token" END
-- clear of float
CASE WHEN IS_FINITE("ratio") THEN "ratio" END
-- hide of boolean
CAST(NULL AS BOOLEAN)
-- token of boolean
"open__token"
-- clear of boolean
"open"
-- hide of date
CAST(NULL AS DATE)
-- year of date
DATE_TRUNC('YEAR', "born")
-- month of date
DATE_TRUNC('MONTH', "born")
-- token of date
"born__token"
-- clear of date
"born"
-- hide of timestamp
CAST(NULL AS TIMESTAMP(3) WITH TIME ZONE)
-- year of timestamp
DATE_TRUNC('YEAR', AT_TIMEZONE("seen", 'UTC'))
-- month of timestamp
DATE_TRUNC('MONTH', AT_TIMEZONE("seen", 'UTC'))
-- token of timestamp
"seen__token"
-- clear of timestamp
"seen"
