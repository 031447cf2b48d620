-- Distances of bit strings.

SELECT hamming_distance('111', '111'), hamming_distance('111', '110'), hamming_distance('111', '000'), B'1010' <~> B'0101';
SELECT jaccard_distance('1111', '1111'), jaccard_distance('1111', '1110'), jaccard_distance('1100', '1000'), B'1010' <%> B'0101';
-- nothing in common is as far as it goes, even of two that have nothing at all
SELECT jaccard_distance('000', '000'), jaccard_distance('000', '111');
SELECT ''::varbit <~> '', ''::varbit <%> '';
SELECT hamming_distance('111', '00');
SELECT jaccard_distance('111', '00');
SELECT B'111' <~> B'0000';
SELECT hamming_distance('111', NULL), B'1' <%> NULL;

-- every length around the steps of the kernels, and one that is out of line
WITH strings AS (
	SELECT n, string_agg((md5(i || 'a')::bit(4) >= B'0111' AND i % 3 > 0)::int::text, '' ORDER BY i)::varbit AS a,
		string_agg((md5(i || 'b') > '6')::int::text, '' ORDER BY i)::varbit AS b
	FROM (SELECT generate_series(1, 140) AS n UNION SELECT unnest(ARRAY[512, 1000, 64000])) s, generate_series(1, n) i
	GROUP BY n),
	wanted AS (
	SELECT n, a, b, length(replace((a # b)::text, '0', '')) AS differ, length(replace((a & b)::text, '0', '')) AS both,
		length(replace((a | b)::text, '0', '')) AS either FROM strings)
SELECT count(*), count(*) FILTER (WHERE a <~> b <> differ) AS hamming,
	count(*) FILTER (WHERE a <%> b <> 1 - coalesce(both / nullif(either, 0)::float8, 0)) AS jaccard
FROM wanted;

CREATE TABLE bits (id int, v bit(3));
INSERT INTO bits VALUES (1, '000'), (2, '100'), (3, '111'), (4, NULL);
SELECT id, v <~> '111' AS hamming, v <%> '111' AS jaccard FROM bits ORDER BY v <~> '111';
SELECT id FROM bits ORDER BY v <~> (SELECT NULL::bit), id LIMIT 2;
DROP TABLE bits;
