-- Macros of the casts: from what a lab wrote to SynDB's types. White space and the pattern of a number are put in by casts.py.
-- 9007199254740992 is 2**53, up to which a double holds every whole number.

-- First and last character printable ASCII: nothing to trim, found without decoding the text.
CREATE OR REPLACE TEMP MACRO tidy(x) AS (x BETWEEN '!' AND '~' AND x[-1] BETWEEN '!' AND '~');
CREATE OR REPLACE TEMP MACRO strip_text(x) AS (CASE WHEN tidy(x) THEN x ELSE trim(x, {white_space}) END);
CREATE OR REPLACE TEMP MACRO mantissa(s) AS (regexp_extract(s, '^[^eE]*'));
CREATE OR REPLACE TEMP MACRO exponent(s) AS (CASE WHEN contains(lower(s), 'e') THEN try_cast(regexp_extract(s, '[eE](.*)$', 1) AS INTEGER) ELSE 0 END);
CREATE OR REPLACE TEMP MACRO digits_after_point(m) AS (length(m) - CASE WHEN contains(m, '.') THEN instr(m, '.') ELSE length(m) END);

-- s is a number. Overflow gives no value, and neither does underflow of a number that is not 0.
CREATE OR REPLACE TEMP MACRO finite(v, s) AS (CASE WHEN NOT isfinite(v) OR (v = 0 AND regexp_matches(mantissa(s), '[1-9]')) THEN NULL ELSE v END);
CREATE OR REPLACE TEMP MACRO careful_number(s, power) AS (CASE WHEN regexp_full_match(s, '{number}')
    THEN finite(try_cast(mantissa(s) || 'e' || (exponent(s)::BIGINT + power)::VARCHAR AS DOUBLE), s) END);

-- A whole number written with fraction or exponent: its digits, shifted; exact, never by way of a float.
CREATE OR REPLACE TEMP MACRO shifted(sign, digits, shift) AS (CASE
    WHEN ltrim(digits, '0') = '' THEN 0::BIGINT
    WHEN shift BETWEEN 0 AND 19 THEN try_cast(sign || digits || repeat('0', shift::BIGINT) AS BIGINT)
    WHEN shift < 0 AND -shift < length(digits) AND rtrim(right(digits, -shift), '0') = ''
        THEN try_cast(sign || left(digits, length(digits) + shift) AS BIGINT) END);
CREATE OR REPLACE TEMP MACRO careful_integer(s) AS (CASE
    WHEN regexp_full_match(s, '[+-]?[0-9]+') THEN try_cast(s AS BIGINT)
    WHEN regexp_full_match(s, '{number}') THEN shifted(
        CASE WHEN starts_with(s, '-') THEN '-' ELSE '' END,
        regexp_replace(mantissa(s), '[^0-9]', '', 'g'),
        exponent(s)::BIGINT - digits_after_point(mantissa(s))) END);

-- isfinite alone: DuckDB takes isnan for false where a Parquet file's statistics, which leave NaN out, give a range.
CREATE OR REPLACE TEMP MACRO float_text(x) AS (CASE WHEN isfinite(x) AND x = trunc(x) AND abs(x) < 1e22 THEN (x::HUGEINT)::VARCHAR
    ELSE replace(x::VARCHAR, 'nan', 'NaN') END);
CREATE OR REPLACE TEMP MACRO decimal_text(x) AS (CASE WHEN contains(x::VARCHAR, '.') THEN rtrim(rtrim(x::VARCHAR, '0'), '.') ELSE x::VARCHAR END);

-- Spellings of an id that show what a program did to it: digits that are left out, quotation marks, a formula.

-- A number whose spelling does not say all its digits, so that no id can be read from it: 7.2E+17, 7,2e17, 720575940631797800.0.
-- Most keys are seen to be none by their first letter, and others by having no e; a cast that fails takes as long as a pattern.
CREATE OR REPLACE TEMP MACRO number_in_short(x) AS (CASE WHEN x BETWEEN '+' AND ':' AND strlen(x) <= 30 THEN
    CASE WHEN contains(x, 'e') OR contains(x, 'E') THEN regexp_full_match(x, '[+-]?[0-9]{1,3}([.,][0-9]*)?[eE]\+[0-9]+')
            OR (regexp_full_match(x, '[+-]?[0-9]+[.,][0-9]*[eE]\+?[0-9]+') AND lost_digits(replace(x, ',', '.')))
        WHEN strlen(x) > 16 AND (contains(x, '.') OR contains(x, ','))
            THEN regexp_full_match(x, '[+-]?[0-9]{16,}[.,]0*') AND beyond_double(x)
        ELSE FALSE END ELSE FALSE END);

-- Digits before a point that a double gives back, in full or to as many as tell it from others: it may have been any near one.
CREATE OR REPLACE TEMP MACRO given_back(i, d) AS (coalesce((d::HUGEINT)::VARCHAR = i
    OR rpad(replace(regexp_extract(d::VARCHAR, '^[^e]*'), '.', ''), length(i)::INTEGER, '0') = i, TRUE));
CREATE OR REPLACE TEMP MACRO beyond_double(x) AS (coalesce(abs(try_cast(regexp_extract(x, '[0-9]+') AS HUGEINT)) > 9007199254740992, TRUE)
    AND given_back(regexp_extract(x, '[0-9]+'), try_cast(regexp_extract(x, '[0-9]+') AS DOUBLE)));
CREATE OR REPLACE TEMP MACRO lost_digits(s) AS (coalesce(length(regexp_replace(mantissa(s), '[^0-9]', '', 'g')) <= exponent(s), FALSE)
    OR coalesce(abs(try_cast(s AS DOUBLE)) > 9007199254740992, FALSE));

-- From 100000000000 on spreadsheets show a number in short form; what they show of a smaller one is its digits.
-- Without point and sign it may also be a name, as 3E17 is one of a well: its neighbours tell.
CREATE OR REPLACE TEMP MACRO maybe_in_short(x) AS (CASE WHEN x BETWEEN '+' AND ':' AND strlen(x) <= 7 AND (contains(x, 'e') OR contains(x, 'E'))
    THEN regexp_full_match(x, '[0-9]{1,4}[eE][0-9]{1,2}') AND coalesce(try_cast(x AS DOUBLE) >= 1e15, FALSE) ELSE FALSE END);
CREATE OR REPLACE TEMP MACRO big_in_short(s) AS (regexp_matches(s, '[eE.]') AND (abs(try_cast(s AS DOUBLE)) > 9007199254740992
    OR (contains(lower(s), 'e') AND lost_digits(s) AND abs(try_cast(s AS DOUBLE)) >= 100000000000)));

-- A quotation mark, of programs and of languages, on both sides, or before digits; a formula. Keys that begin with a letter or digit are seen at once.
CREATE OR REPLACE TEMP MACRO has_marks(x) AS (CASE WHEN x BETWEEN '0' AND ':' OR x BETWEEN 'A' AND '[' OR x BETWEEN 'a' AND '{' THEN FALSE
    ELSE regexp_full_match(x, '=.+|["''`´‘’‚“”„«»‹›].*["''`´‘’‚“”„«»‹›]|["''`´‘’‚“”„«»‹›][0-9]+') END);

-- The kind of cell as which ingest notes an odd spelling; NULL for most.
CREATE OR REPLACE TEMP MACRO spelling(x) AS (CASE WHEN number_in_short(x) THEN 'float' WHEN maybe_in_short(x) THEN 'short' WHEN has_marks(x) THEN 'marks' END);
