-- One statement a line, which Laguna and PostgreSQL 15 answer alike.
-- zones UTC
select carrier, rank() over (order by count(*)) / 2 as half, (row_number() over (order by carrier) - 1) / 5 as page from flights group by carrier order by carrier
select carrier, case carrier when 'AA' then 1 else dense_rank() over (order by carrier) end % 3 as r, ntile(3) over (order by carrier) * 1.5 as n from airlines order by 1
select count(*) from flights where carrier is distinct from 'AA' and origin = 'JFK' or dest = 'HNL'
select count(*) from airlines a where a.carrier not in (select f.carrier from flights f where f.origin = 'EWR' and f.dest > a.name)
select carrier from airlines intersect all select carrier from flights where origin = 'JFK' order by 1
select carrier from flights where day = 1 except all select carrier from airlines order by carrier limit 5
select a.origin, b.dest, count(*) from (select distinct origin from flights) a cross join (select dest from flights where day = 1 and dest in ('LAX', 'SFO')) b group by a.origin, b.dest order by a.origin desc, b.dest desc
select x.name, y.name from (select carrier, name from airlines) x full join (select carrier, upper(name) as name from airlines where carrier < 'D') y on x.carrier = y.carrier where x.name >= coalesce(nullif(y.name, x.name), '') order by 1, 2
select case a.origin when 'JFK' then 'j' else a.origin end as origin, count(*) from flights a group by a.origin order by a.origin
select case a.origin when 'JFK' then 'j' else a.origin end as origin, count(*) from flights a group by a.origin order by 2
select upper(a.origin) as origin, count(*) from flights a left join airports p on p.faa=a.origin group by p.name, a.origin order by a.origin
select upper(a.origin) as origin, p.name, count(*) from flights a left join airports p on p.faa=a.origin group by p.name, a.origin order by a.origin desc, p.name
select a.origin as x, upper(a.origin) as origin from flights a group by a.origin order by a.origin desc
select distinct on (origin) origin, (select name from airlines a where a.carrier=f.carrier) from flights f order by origin, carrier
select coalesce(a.dest,'x') as dest, sum(a.distance) from flights a group by a.dest having sum(a.distance) > 1000000 order by a.dest limit 5
select date_trunc('month', a.time_hour) as time_hour, count(*) from flights a group by date_trunc('month', a.time_hour) order by date_trunc('month', a.time_hour)
select a.carrier, case a.carrier when 'AA' then 1 end as n from flights a group by a.carrier order by a.carrier
select 'ZZ' as carrier, count(*) from flights a group by a.carrier order by a.carrier, count(*)
select z.faa, count(*) from airlines a left join (select 'AA' faa) z on a.carrier=z.faa group by z.faa order by 2
select a.carrier, z.faa from airlines a left join (select 'AA' faa) z on a.carrier=z.faa order by z.faa, a.carrier limit 3
select a.carrier, z.flag from airlines a left join (select carrier, 'x' flag from airlines where carrier > 'D') z on a.carrier=z.carrier order by z.flag, a.carrier limit 3
select z.flag, count(*), min(a.carrier) from airlines a left join (select carrier, 'x' flag from airlines where carrier > 'D') z on a.carrier=z.carrier group by z.flag order by 2
select z.flag, a.carrier, count(*) from airlines a left join (select carrier, 'x' flag from airlines where carrier > 'D' order by carrier) z on a.carrier=z.carrier group by z.flag, a.carrier order by 1,2
select a.carrier, rank() over (order by z.flag) from airlines a left join (select carrier, 'x' flag from airlines where carrier > 'D') z on a.carrier=z.carrier order by 1
select a.carrier, z.carrier from airlines a full join (select carrier, name from airlines where carrier = 'AA') z on a.carrier=z.carrier order by z.carrier, a.carrier limit 3
select a.carrier, row_number() over (partition by z.flag order by a.carrier) from airlines a left join (select carrier, 'x' flag from airlines where carrier > 'D') z on a.carrier=z.carrier order by 1
select distinct z.flag from airlines a left join (select carrier, 'x' flag from airlines where carrier > 'D') z on a.carrier=z.carrier
select carrier from airlines a full join (select 'ZZ' carrier) z using (carrier) order by carrier desc limit 2
select carrier, count(*) from airlines a full join (select 'ZZ' carrier) z using (carrier) group by carrier order by carrier desc limit 2
select carrier, name from airlines a right join (select 'ZZ' carrier union select 'AA') z using (carrier) order by carrier
select carrier from airlines a right join (select 'ZZ' carrier union select 'AA') z using (carrier) where carrier = 'ZZ'
select * from (select carrier, name as x from airlines) a right join (select 'ZZ' carrier union select 'AA') z using (carrier) order by carrier
select * from (select carrier, name as x from airlines) a full join (select 'ZZ' carrier union select 'AA') z using (carrier) order by carrier desc limit 2
select upper(carrier) u, coalesce(x,'none') from (select carrier, name as x from airlines) a full join (select 'ZZ' carrier) z using (carrier) order by 1 desc limit 2
select a.carrier, z.carrier from (select carrier, name as x from airlines) a full join (select 'ZZ' carrier) z using (carrier) order by 2,1 limit 2
select carrier from (select carrier from airlines) a full join (select 'ZZ' carrier) b using (carrier) full join (select 'YY' carrier) c using (carrier) order by carrier desc limit 3
select f.carrier, (select name from airlines a where a.carrier=f.carrier) from flights f group by f.carrier order by (select name from airlines a where a.carrier=f.carrier)
select f.carrier from flights f group by f.carrier order by (select count(*) from airlines a where a.carrier>f.carrier), 1
select f.flight from flights f join airlines a on a.carrier=f.carrier and a.name = (select max(name) from airlines x where x.carrier=f.carrier) where f.day=1 and f.month=1 order by 1 limit 3
select split_part('a,b,c', ',', -1), left('hello', -2), right('hello', 2), repeat('ab', 3), translate('12345','143','ax'), overlay('Txxxxas' placing 'hom' from 2 for 4)
select exists(select 1 from airlines where carrier='AA'), not exists(select 1 from airlines where carrier='ZZ')
select cast('12' as integer) + 1, '1.5'::float8 * 2, 't'::boolean, 'yes'::bool, 1::bool, '2013-01-01'::date::timestamp, 3.7::int, '{1,2}'::int[]
select 'x' in (select carrier from airlines where carrier = upper('aa')) a, carrier in (select f.carrier from flights f where f.dest='HNL') b from airlines order by carrier
select a.carrier, case when 'LAX' in (select f.dest from flights f where f.carrier=a.carrier) then 1 else 0 end from airlines a order by 1
select a.carrier, 'LAX' not in (select f.dest from flights f where f.carrier=a.carrier and f.month=1) from airlines a order by 1
select a.carrier, 'LAX' in (select f.dest from flights f where f.carrier=a.carrier) from airlines a order by 1 limit 2
select sum(dep_delay)/count(*) from flights
select s/c as r from (select sum(distance) s, count(*) c from flights) q
select sum(distance), pg_typeof(sum(distance)) from flights
select round(avg(dep_delay),2) from flights
select round(avg(dep_delay)::numeric,2) from flights
select carrier, round(avg(arr_delay)::numeric,1) from flights group by 1 order by 1
select price::float8, price::int, x::numeric, x::text, x::int from t where id<>2 order by id
select x from t order by id
select round(price), round(price,1), trunc(price,1), ceil(price), floor(price), abs(price), sign(price) from t order by id
select round(2.5), round(3.5), round(-2.5), round(2.5::float8), round(3.5::float8)
select round(123.456, -1), round(123.456, 1), trunc(123.456, -2), trunc(-1.9)
select pi(), degrees(pi()), radians(180), sin(1), atan2(1,2), random() < 1
select greatest(1,2,3), least(1,null,3), coalesce(null,2), nullif(1,1)
select width_bucket(5.35, 0.024, 10.06, 5), width_bucket(dep_delay, 0, 100, 10), count(*) from flights where dep_delay is not null group by 1,2 order by 2
select div(7,2), gcd(12,18), lcm(4,6), factorial(5)
select 1e3, 0.1+0.2
select 'a'||'b', 'a'||1, 1||'a', 'a'||null
select substring('hello' from 2 for 3), substring('hello', 2), substring('hello', -1, 3), substr('hello',2,2), left('hello',2), right('hello',2), left('hello',-2)
select substring('foo123bar' from '[0-9]+'), substring('foo123' from 'o(.)'), substring('abc' from 'z')
select position('l' in 'hello'), strpos('hello','l'), replace('hello','l','L'), translate('hello','el','ip'), reverse('abc'), repeat('ab',3)
select trim('  a  '), trim(both 'x' from 'xxaxx'), ltrim('xxa','x'), rtrim('axx','x'), btrim('  a '), trim(leading '0' from '007')
select lpad('5',3,'0'), rpad('a',3,'-'), lpad('hello',2)
select split_part('a,b,c', ',', 2), split_part('a,b,c', ',', -1), split_part(list, ',', 1) from t order by id
select ascii('a'), chr(97), md5('a'), encode('abc'::bytea,'hex'), encode('abc','base64'), decode('616263','hex')
select to_hex(255), sha256('a'::bytea)
select starts_with('abc','ab'), 'abc' like 'a%', 'abc' ilike 'A_C', 'abc' not like 'b%', 'abc' ~ '^a', 'abc' ~* '^A', 'abc' !~ 'x', 'abc' similar to 'a(b|x)c'
select regexp_replace('foobar','o','0'), regexp_replace('foobar','o','0','g'), regexp_replace('abc','(b)','[\1]'), regexp_replace('aBc','b','x','i')
select regexp_matches('foobarbequebaz','ba.','g')
select regexp_match('foobarbequebaz','bar(b)(eque)?')
select regexp_split_to_array('a, b,c', ',\s*'), string_to_array('a,b,c', ','), string_to_array('a,b,,c', ',', '')
select regexp_split_to_table('a b c', ' ')
select regexp_count('abcabc','b'), regexp_instr('abcabc','b'), regexp_substr('abcabc','b.'), regexp_like('abc','B','i')
select array[1,2,3], array['a','b c',null], array[1,2]||3, array_append(array[1],2), array_cat(array[1],array[2]), array_length(array[1,2],1), cardinality(array[1,2,3]), array_position(array['a','b'],'b')
select (array[1,2,3])[2], (array[1,2,3])[2:3], array_to_string(array['a',null,'c'], ','), array_to_string(array['a',null,'c'], ',', '*'), 2 = any(array[1,2]), 3 = all(array[3,3])
select unnest(array[1,2,3])
select unnest(array['a','b']) as x, 1 as y
select * from unnest(array['a','b','c']) with ordinality as u(v, n)
select * from unnest(array[1,2], array['a','b','c']) as u(a,b)
select * from generate_series(1,5) with ordinality
select * from generate_series(1,5,2) as g
select g::date from generate_series('2013-01-01'::date, '2013-01-05'::date, '1 day') as g
select generate_series(1,3), 'x'
select array_agg(carrier order by carrier) from airlines where carrier < 'B'
select string_agg(carrier, ',' order by carrier) from airlines
select string_agg(distinct origin, '; ' order by origin) from flights
select array_remove(array[1,2,3,2],2), array_replace(array[1,2],2,5), array[1,2] @> array[1], array[1,2] && array[2,3], array[1] <@ array[1,2]
select name like any(array['o%','t%']) from t where id<3
select id from t where name like any(array['o%','T%']) order by id
select id from t where name ilike any(array['O%','t%']) order by id
select id from t where id = any('{1,3}'::int[]) order by id
select id from t where id in (1,2) and name not in ('one') order by id
select id not in (select 1) from t order by id
select id, id in (select 2 union select 3) from t order by id
select count(*) from flights f where exists (select 1 from airlines a where a.carrier=f.carrier and a.name like 'U%')
select a.carrier, (select count(*) from flights f where f.carrier=a.carrier) from airlines a order by 1
select a.carrier, x.m from airlines a left join lateral (select max(distance) m from flights f where f.carrier=a.carrier) x on true order by 1
select carrier, count(*) filter (where dep_delay>60) late, count(*) from flights group by carrier order by 1
select percentile_cont(0.5) within group (order by dep_delay) from flights
select percentile_disc(0.5) within group (order by dep_delay) from flights
select percentile_cont(array[0.25,0.5,0.75]) within group (order by dep_delay) from flights
select percentile_disc(array[0.25,0.5]) within group (order by carrier) from flights
select mode() within group (order by carrier) from flights
select corr(dep_delay,arr_delay)::numeric(10,6), covar_pop(dep_delay,arr_delay)::numeric(10,4), regr_slope(arr_delay,dep_delay)::numeric(10,6), regr_count(arr_delay,dep_delay) from flights
select bool_and(flag), bool_or(flag), every(flag), bit_and(id), bit_or(id), bit_xor(id) from t
select min(name), max(name), min(day), max(at), min(flag::int) from t
select count(distinct carrier), count(distinct (carrier, origin)) from flights
select carrier, origin, count(*) from flights group by grouping sets ((carrier),(origin),()) order by 1,2
select carrier, origin, count(*), grouping(carrier), grouping(carrier,origin) from flights where carrier<'B' group by rollup(carrier, origin) order by 1,2
select carrier from flights group by carrier having count(*) > 30000 order by count(*) desc
select row_number() over (order by id), rank() over (order by flag), dense_rank() over (order by flag), lag(name) over (order by id), lead(id,2,0) over (order by id), ntile(2) over (order by id) from t order by id
select id, percent_rank() over (order by id), cume_dist() over (order by id) from t order by id
select id, sum(id) over w, count(*) over w from t window w as (partition by flag order by id) order by id
select sum(count(*)) over (order by carrier), carrier from flights group by carrier order by 2
select id, sum(price) over (order by id range between 1 preceding and current row) from t order by id
select month, count(*), round(100.0*count(*)/sum(count(*)) over (),2) pct from flights group by month order by month
select distinct on (origin) origin, carrier, dep_delay from flights order by origin, dep_delay desc nulls last, carrier
select distinct origin from flights order by origin desc
select carrier, count(*) as n from flights group by carrier order by n desc limit 3 offset 1
select carrier from airlines order by carrier fetch first 2 rows only
(select 1 as a union all select 2) order by a desc
select 1 union select 1 union all select 2 order by 1
select origin from flights intersect select faa from airports
select count(*) from (select dest from flights except select faa from airports) q
with recursive r(n) as (select 1 union all select n+1 from r where n<5) select * from r
with a as (select origin, count(*) n from flights group by 1), b as (select max(n) m from a) select origin from a, b where n=m
values (1,'a'),(2,'b')
select * from (values (1,'a'),(2,'b')) as v(i,s) order by i
select case when id<3 then 'low' when id is null then 'none' else 'high' end as c, case flag when true then 1 else 0 end from t order by id
select flag, not flag, flag and true, flag or false, flag is true, flag is not true, flag is unknown, flag::text, flag::int from t order by id
select name is distinct from 'one', name is not distinct from null from t order by id
select * from t order by id
select id from t where (id, name) in ((1,'one'),(2,'x')) order by id
select 1 as "A b", 2 as b, 3 "c", 4
select count(*), count(1), max(1), 1+1, 'x', upper('x'), now() is not null, case when true then 1 end, cast(1 as text), 1::text, (select 1), array[1], not true, -1, coalesce(1,2), extract(year from date '2013-01-01')
select "id" as "Id", t.name, sanitized.t.flag from sanitized.t order by 1
select date '2013-01-31' + 1, date '2013-03-01' - date '2013-02-01', date '2013-01-31' + interval '1 month', date '2013-01-31' - interval '1 day', '2013-01-31'::date + time '10:00'
select timestamp '2013-01-31 10:00' - timestamp '2013-01-30 08:30', timestamp '2013-03-01' - timestamp '2013-01-01'
select timestamp '2013-01-31 10:00' + interval '1 month 2 days 03:04:05.5'
select at + interval '1 hour', at::date, at::time, at::text, at::timestamptz from t order by id
select day, day::timestamp, day::text, day + 7, day - 7 from t order by id
select day + interval '1 year' from t order by id
select at - lag(at) over (order by id) from t order by id
select date_trunc('month', at), date_trunc('week', at), date_trunc('quarter', day), date_trunc('hour', at) from t order by id
select date_trunc('decade', at), date_trunc('century', at), date_trunc('millennium', at), date_trunc('milliseconds', at) from t order by id
select extract(year from at), extract(month from at), extract(dow from at), extract(isodow from at), extract(doy from at), extract(week from at), extract(quarter from at), extract(hour from at), extract(second from at), extract(epoch from at) from t order by id
select extract(isoyear from day), extract(century from day), extract(decade from day), extract(epoch from day), extract(julian from day) from t order by id
select extract(milliseconds from at), extract(microseconds from at), extract(minute from at) from t order by id
select date_part('year', at), date_part('dow', day), date_part('epoch', at), date_part('second', at) from t order by id
select extract(epoch from interval '1 day 2 hours'), extract(day from interval '40 days 3 hours'), extract(hour from interval '40 days 3 hours'), date_part('month', interval '14 months')
select extract(day from timestamp '2013-03-01' - timestamp '2013-01-01')
select age(timestamp '2013-03-01', timestamp '2012-01-15'), age(date '2013-03-31', date '2013-02-28'), age(timestamp '2013-01-01 10:00', timestamp '2013-01-02 12:00')
select extract(year from age(timestamp '2013-03-01', timestamp '2000-05-15'))
select make_date(2013,2,28), make_time(8,15,23.5), make_timestamp(2013,7,15,8,15,23.5), make_interval(days => 10), make_interval(1,2,3,4,5,6,7.5)
select make_timestamptz(2013,7,15,8,15,23.5)
select to_timestamp(1374000000), to_timestamp(1374000000.5), to_date('2013-02-05','YYYY-MM-DD'), to_timestamp('05 Feb 2013','DD Mon YYYY'), to_timestamp('2013-02-05 10:20:30', 'YYYY-MM-DD HH24:MI:SS')
select to_char(at,'YYYY-MM-DD'), to_char(at,'HH24:MI:SS.MS'), to_char(day,'Mon YYYY'), to_char(day, 'FMDay') from t order by id
select to_char(1234.5,'9999.99'), to_char(1234.5,'FM9,999.00'), to_char(-5,'999'), to_char(0.5,'0.00'), to_char(5,'000'), to_char(1234567,'9,999,999'), to_char(12,'FM000'), to_char(0.123,'FM990.0%')
select to_char(price,'FM999,999,990.00'), to_char(price,'L9G999D99'), to_char(price,'9.99EEEE'), to_char(id,'RN'), to_char(id,'FMRN'), to_char(price,'S999999.9'), to_char(price,'999999PR') from t order by id
select to_number('1,234.56','9,999.99'), to_number('-12','S99')
select to_char(interval '15h 2m 12s', 'HH24:MI:SS'), to_char(125.8::float8,'999D9')
select now()::date = current_date, current_timestamp = now(), localtimestamp is not null, current_time is not null, current_date - 1 < current_date
select interval '1 year 2 months', interval '90 minutes', interval '1.5 hours', interval '-1 day', interval '1' day, interval '3 4:05:06', interval '2 weeks', '1 mon'::interval
select interval '1 day' * 2, interval '1 hour' / 4, 2 * interval '1 day', interval '1 day' + interval '2 hours', - interval '1 day'
select justify_days(interval '35 days'), justify_hours(interval '27 hours'), justify_interval(interval '1 mon -1 hour')
select at at time zone 'America/New_York', at at time zone 'UTC' at time zone 'America/New_York' from t order by id
select time_hour at time zone 'America/New_York' from flights where flight=1545 order by time_hour limit 3
select date_trunc('day', time_hour) d, count(*) from flights group by 1 order by 1 limit 3
select date_trunc('day', time_hour, 'America/New_York') d, count(*) from flights group by 1 order by 1 limit 3
select date_bin('15 minutes', at, timestamp '2001-01-01') from t order by id
select count(*) from flights where time_hour between '2013-02-01' and '2013-02-02'
select count(*) from flights where time_hour >= '2013-02-01'::timestamptz and time_hour < '2013-02-01'::date + interval '1 month'
select count(*) from flights where time_hour::date = '2013-05-05'
select count(*) from flights where date_part('month', time_hour) = 3
select count(*) from flights where time_hour > now() - interval '1000 years'
select now() + interval '100 years' > now()
select time '10:20' + interval '1 hour', time '10:20' - time '09:00', time '10:20:30.5', extract(hour from time '10:20'), '10:20'::time::text
select '2013-01-31'::date::timestamptz, '20130131'::date, 'Jan 31, 2013'::date, '2013/1/5'::date, '31-Jan-2013'::date
select isfinite(date '2013-01-01'), date '2013-01-01' < timestamp '2013-01-01 01:00', date '2013-01-01' = timestamp '2013-01-01'
select doc::json->'a', doc::json->>'s', doc::json->'b'->0, doc::json#>>'{b,2,c}', doc::jsonb->'b' from t where id=1
select doc::jsonb from t order by id
select doc::json->>0 from t where id=3
select doc::jsonb ? 'a', doc::jsonb @> '{"a":1}' from t where id in (1,2) order by id
select json_build_object('a',1,'b','x'), json_build_array(1,'a',null), jsonb_build_object('k', array[1,2])
select json_agg(carrier order by carrier) from airlines where carrier<'B'
select jsonb_agg(carrier order by carrier) from airlines where carrier<'B'
select json_object_agg(carrier, name order by carrier) from airlines where carrier<'B'
select to_json(1), to_json('a'::text), to_jsonb(array[1,2])
select json_agg(row_to_json(a)) from (select carrier, name from airlines where carrier<'B' order by 1) a
select json_array_length('[1,2,3]'), jsonb_array_length('[1]'), json_typeof('{"a":1}'), jsonb_typeof('[1]')
select * from json_array_elements('[1,{"a":2}]')
select value from jsonb_array_elements_text('["a","b"]')
select * from json_each('{"a":1,"b":"x"}')
select key, value from jsonb_each_text('{"a":1,"b":"x"}') order by key
select jsonb_object_keys('{"a":1,"b":2}')
select json_extract_path_text(doc::json,'b','0') from t where id=1
select (doc::json->>'a')::int + 1 from t where id=1
select jsonb_pretty('{"a":1}')
select 'a'::char(3) || 'b', 'abc'::varchar(2), 'abcdef'::char(3), 1::char
select '12'::int, ' 12 '::int, '1.5'::float8, 't'::bool, 'yes'::bool, 'off'::bool, 1::bool, 'NaN'::float8, 'Infinity'::float8
select 1.5::int, 2.5::int, -1.5::int, 1.4::bigint, '1e3'::float8, 3.7::float8::int
select 'x'::int
select '2013-13-01'::date
select 1/0
select 1.0/0
select sqrt(-1)
select 10000000000::int
select nope from t
select * from nope
select nope(1)
select id, count(*) from t
select id from t group by name
select count(*) from t where count(*) > 1
select 1 + true
select selec
select * from t where
select (select id from t)
select id from t limit -1
select * from t offset -1
select id from t order by 5
select 1, 2 union select 1
select t.nope from t
select id from t a, t b
select cast('a' as nope)
select upper(1, 2)
select substring('a' from 1 for -1)
select array[1,'a']
select to_date('x','YYYY')
select interval 'nope'
select now() at time zone 'nope'
select '{1,2'::int[]
select '{"a":'::json
select sum(sum(id)) from t
select 1 from t where id
select not 1
select * from generate_series(1,3) g where g > 1
select count(*) from t tablesample system (100)
select sum(id) filter (where id > 100) from t
select id::text || ': ' || coalesce(name, '?') from t order by id
select distinct flag from t order by flag
select id from t order by name nulls first, id desc
select id from t order by name collate "C"
select name from t where name > 'a' order by name
select carrier c, sum(distance) filter (where origin='JFK') from flights group by c having sum(distance) > 1000000 order by 2 desc nulls last limit 3
select flag, array_agg(id order by id desc) from t group by flag order by flag
select max(id) from t having max(id) > 100
select count(*) from flights where tailnum is null
select count(*) from flights where dep_delay = 'x'
select count(*) from flights where dep_delay = '5'
select 'abc' < 'abd', 'a' = 'A', 'Z' < 'a'
select current_user is not null, current_schema, current_catalog is not null, version() like 'PostgreSQL%'
select * from information_schema.schemata where schema_name='sanitized' and false
select table_name from information_schema.tables where table_schema='sanitized' order by 1
select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute where attrelid='sanitized.t'::regclass and attnum>0 order by attnum
select relname, relkind from pg_class where relnamespace='sanitized'::regnamespace order by 1
select has_table_privilege('t','select'), has_schema_privilege('sanitized','usage')
select current_setting('server_version_num')::int >= 150000, current_setting('TimeZone'), current_setting('nope', true)
show search_path
show nope
select 1
select md5(string_agg(id::text, ',' order by id)) from t
select num_nulls(1,null,2), num_nonnulls(1,null)
select pg_sleep(0)
select txid_current() > 0
select convert_from('abc'::bytea,'UTF8'), convert_to('abc','UTF8')
select string_to_table('a,b', ',')
select array(select id from t order by id)
select array(select carrier from airlines where carrier<'B' order by carrier desc)
select id from t a join t b using (id) where id = 1
select count(*) from flights join airlines using (carrier) where carrier = 'UA'
select q.count from (select count(*) from t) q
with c as (select origin, count(*) from flights group by 1) select origin, count from c order by 1
select * from (select date_trunc('month', time_hour), count(*) from flights group by 1) q order by 1
select * from (select id::text, price::int from t) q order by 1
select 'abc' similar to '%(b|d)%', 'abc' similar to '%b%', 'abc' similar to '_b_', 'abc' not similar to 'x%'
select time_hour::time, count(*) from flights where time_hour::time > '07:00' group by 1 order by 1
select sum(price) from t where x < 0.05
select count(*) from t where price = 1.5 or x = 0.1
select price = 1.5, price = 1.50::float8, price in (1.5, 2), price between 0 and 1.5, price > x, price = 0, price <> -2.25 from t order by id
select price * 1.1, price + 0.005, 0.1 + 0.2, 1.1 * 3, id * 1.5 from t order by id
select f.carrier, a.name from flights f join airlines a on a.carrier = f.carrier where flight = 1545 and day = 1

select '05/02/2013'::date, '20130131'::date, 'Jan 31 2013'::date, '2013-03-09 10:00'::date, '2013-03-09 10:00+02'::timestamp
select (day || ' 10:00')::timestamp, (day::text)::date, (id || ' days')::interval from t order by id
select '2013-02-30'::date
select 'abc'::date
select '25:00'::time
select id from t where at >= '20130131' order by id
select id from t where at >= '1/31/2013' order by id
select id from t where day = 'Jan 31 2013' order by id
select id from t where day between '20130101' and '2013-12-31' order by id
select id from t where day in ('20130131', '2012-02-29') order by id
select sum(id), sum(id::float8), sum(id::numeric) from t
select day, day::text, day::timestamp, day::timestamptz, count(*) from t group by day, day::text, day::timestamp, day::timestamptz order by 1
select min(day), min(day::timestamp), min(day::timestamptz), min(at), min(at::date) from t
select row_number() over (order by day), row_number() over (order by day::timestamp) from t order by 1
select at::time, '08:00'::time, at::time > '08:00' from t order by id
select '1 mon'::interval, 'infinity'::timestamp, '-infinity'::timestamptz
select price::numeric(100,2), price::numeric(1000,15) from t order by id
select '2013-01-31'::timestamptz at time zone 'Asia/Tokyo', '10:30 Mar 9 2013 EST'::timestamptz
select date '2013-01-31' + 1, timestamp '2013-1-31 1:2', '2013-01-31T10:11:12.123456789'::timestamp
select id, id from t order by 1
select a.id, a.name, b.* from t a join t b on a.id=b.id order by a.id
select * from (select 1 a, 2 a) q
select * from (select id, id from t) q order by 1
select a.*, b.name from t a join t b using (id) order by a.id
select * from t a join t b using (id) order by id
select count(*), count(*) from t
select sum(id), sum(id) from t
select id as x, id as x from t order by 1
select -id as id from t order by id+0
select -id as id from t order by id
select date_trunc('month', at) as at, count(*) from t group by at order by 1
select name as n, count(*) from t group by n order by n
select extract(year from day) as day, count(*) from t group by 1 order by 1
select id % 2 as id, count(*) from t group by id order by 1,2
select id % 2 as k, max(id) as id from t group by k order by k
select q.id, q.n from (select id, name as n from t) q order by q.n
select 'a' as x, t.* from t order by id
select 1, 1, 'a', 'a', null, null
select max(id) as max, max from (select 1 as max, 2 as id) q group by max
select distinct id, id from t order by id
select count(*) filter (where id>1), count(*) filter (where id>2) from t
select day at time zone 'UTC' from t order by id
select id::text, id::text from t order by 1
with q as (select id, id from t) select * from q order by 1
select id, count(*) from t group by id, id order by id
select a.name, b.name from t a, t b where a.id = b.id order by 1
select a.name, b.name from t a, t b where a.id = b.id order by a.name
select name from t union select name from t order by name
select e from t, json_array_elements(t.doc::json) e where id = 3
select e->>'a' from json_array_elements('[{"a":1},{"a":2}]') e
select e.value->>'a' from json_array_elements('[{"a":1},{"a":2}]') e
select id, e.value from t, json_array_elements(t.doc::json) as e where id = 3 order by 1
select id, e from t cross join lateral json_array_elements(t.doc::json) as e where id = 3
select t.id, k.key, k.value from t, json_each(t.doc::json) k where t.id in (1, 4) order by 1, 2
select t.id, key from t, json_object_keys(t.doc::json) key where t.id in (1, 4) order by 1, 2
select t.id, u from t, unnest(string_to_array(t.list, ',')) u order by 1, 2
select t.id, u.x from t cross join unnest(string_to_array(t.list, ',')) as u(x) order by 1, 2
select t.id, w from t, regexp_split_to_table(t.list, ',') w order by 1, 2
select t.id, g from t, generate_series(1, t.id) g order by 1, 2
select t.id, g.n from t join generate_series(1, 3) g(n) on g.n <= t.id order by 1, 2
select t.id, x.c from t left join lateral (select count(*) c from t u where u.id = t.id) x on true order by 1
select t.id, x.n from t, lateral (select t.id + 1 as n) x order by 1
select t.id, v.k, v.n from t, lateral (values ('a', t.id), ('b', t.id * 2)) v(k, n) order by 1, 2
select t.id, x.id from t cross join lateral (select u.id from t u where u.id > t.id order by u.id limit 1) x order by 1
select t.id, u, o from t, unnest(string_to_array(t.list, ',')) with ordinality u(u, o) order by 1, 3
select a.id, e.value from t a join t b on a.id = b.id, json_array_elements(b.doc::json) e where a.id = 3
select id, (select count(*) from t u where u.id < t.id) from t order by id
select id, (select name from t u where u.id > t.id order by u.id limit 1) from t order by id
select id, (select max(u.id) from t u where u.id <= t.id) from t order by id
select id from t where (id, name) in (select id, name from t where id < 3) order by id
select id from t where id > all (select id from t where id < 3) order by id
select id from t where id > any (select id from t where id > 2) order by id
select id from t where id = any (select id from t where id > 2) order by id
select id from t where id <> all (select id from t where id > 2) order by id
select id from t a where exists (select 1 from t b where b.id = a.id + 1 limit 1) order by id
select id from t a where 2 = (select count(*) from t b where b.id between a.id and a.id + 1) order by id
select jsonb_array_elements_text('["a","b"]'), generate_series(1,2)
select id, jsonb_array_elements(doc::jsonb) from t where id = 3
select array(select e::text from json_array_elements('[1,2]') e)
select array(select json_array_elements_text('["x","y"]'))
select generate_series(id, id + 1) from t where id < 3 order by 1
select generate_series(0, 10, 5)
select generate_series('2013-01-01'::timestamp, '2013-01-02', '12 hours')
select t.id, x.a, x.b from t, json_to_recordset('[{"a":1,"b":"x"},{"a":2}]') as x(a int, b text) order by 1,2
select * from json_to_recordset('[{"a":1,"b":"x"},{"a":2}]') as x(a int, b text) order by 1
select t.id, x.s from t, json_to_record(t.doc::json) as x(s text, a text) where t.id in (1,2) order by 1
select * from t, unnest(string_to_array(list, ',')) u where id = 1 order by u
select t.id, u.* from t, unnest(string_to_array(list, ',')) u where id = 1 order by u
select t.id, u from t left join unnest(string_to_array(t.list, ',')) u on true order by 1, 2
select t.id, u from t left join lateral unnest(string_to_array(t.list, ',')) u on true order by 1, 2
select count(*) from t, unnest(string_to_array(t.list, ',')) u
select u, count(*) from t, unnest(string_to_array(t.list, ',')) as u group by u order by 1
select t.id, (e.value->>'c') from t, json_array_elements(t.doc::json->'b') e where t.id = 1 order by 1, 2
select t.id, v.value from t, json_each(t.doc::json) k, json_each(k.value) v where t.id = 4
select x.id, x.u from (select t.id, u from t, unnest(string_to_array(t.list, ',')) u) x order by 1, 2
with q as (select t.id, u from t, unnest(string_to_array(t.list, ',')) u) select * from q order by 1, 2
select t.id, g::date from t, generate_series(t.day, t.day + 2, '1 day') g where t.id = 1 order by 2
select t.id, g::date from t, generate_series(t.day::timestamp, t.day + interval '2 days', interval '1 day') g where t.id = 1 order by 2
select s.i, (string_to_array(t.list, ','))[s.i] from t, generate_subscripts(string_to_array(t.list, ','), 1) s(i) where t.id = 1 order by 1
select t.id, x.id, x.name from t left join lateral (select u.id, u.name from t u where u.id < t.id order by u.id desc limit 2) x on true order by 1, 2
select t.id, x.* from t, lateral (select u.id, u.name from t u where u.flag = t.flag order by u.id limit 1) x order by 1
select id, (select name from t u where u.flag = t.flag order by u.id desc limit 1) from t order by id
select id, (select count(*) from t u where u.id > t.id and u.flag = t.flag) from t order by id
select id from t where price > (select avg(price) from t u where u.id <> t.id) order by id
select id, (select sum(u.id) + t.id from t u where u.id <= t.id) from t order by id
select id, (select string_agg(u.name, ',' order by u.id) from t u where u.id <= t.id) from t order by id
select id from t where (id, flag) not in (select id, flag from t where id < 3) order by id
select id from t where day >= all (select day from t where day is not null) order by id
select pg_typeof(avg(price)), pg_typeof(sum(id)) from t
select date_trunc('day', timestamp '2013-01-01 10:00') + time '10:00'
select day + time '10:00', time '10:00' + day from t order by id
select to_date('2013-02','YYYY-MM'), to_date('20130215','YYYYMMDD'), to_date('15 Feb 2013', 'DD Mon YYYY')
select to_char(timestamp '2013-01-01', 'SSSS'), to_char(timestamp '2013-01-01 10:00', 'SSSS'), to_char(timestamp '2013-01-01 10:00', 'J Q WW')
select 1e15::float8, 1e16::float8, 123456789012345678::float8, 0.1::float8 + 0.2::float8, 1e15::float8/3
select array_length(string_to_array('',','),1), string_to_array('', ','), string_to_array(null, ',')
select id isnull, name notnull from t order by id
select count(*) from t group by ()
select U&'\0061bc'
select regclass 'flights'::text is not null
select 't'::regclass::oid > 0
select round(2.5), round(-2.5), round(2.5::float8), round('2.5'), round(1234.567, -2), round(0.5::numeric)
select 1::float8/0
select mod(5,0)
select nosuch(1)
select 'abc'::int
select 99999999999::int
select * from t limit '2'
select coalesce(null, null), coalesce(2.5, 1), greatest(1, 2.5, null)
select percentile_cont(0.5) within group (order by price), percentile_cont(0.5) within group (order by x) from t
select array_agg(id order by id desc), array_agg(name order by name), string_agg(name, ',' order by id desc) from t
select extract(epoch from interval '1 day 2 hours'), extract(day from interval '40 days')
select '{1,2,3}'::int[] @> array[2], array[1,2] || 3, array[1,2] || array[3], 0 || array[1], array_position(array['a','b'],'b'), array_cat(array[1],array[2])
select split_part('a,b,c', ',', -1), left('abc', -1), right('abc', 2), lpad('5', 3, '0'), initcap('hello world'), reverse('abc'), translate('abc','ab','xy')
select md5('a'), encode('abc'::bytea, 'base64'), decode('YWJj','base64'), sha256('a'::bytea)
select date_part('year', day), extract(isodow from day), extract(week from day) from t order by id
select current_setting('server_version_num')::int >= 150000, current_setting('nosuch.x', true)
select '2013-01-01'::timestamptz
select 'x' || at, 'x' || x, 'x' || price, 'x' || flag, 'x' || day, id || 'y' from t order by id
select concat('a', at, flag, x, price, null), concat_ws('-', at, flag, x, id) from t order by id
select array_to_string(array[at, null], '|', '*'), array_to_string(array[x], ','), array_to_string(array_agg(flag), ',') from t group by at, x order by 1
select id / '2', id * '3', price * '1.1', x * '2', id % '2' from t order by id
select at + '1 day', at - '2013-01-01', day - '2013-01-01' from t order by id
select id from t where id = '1' or price = '-2.25' or x = '-3.5' order by id
select id from t where at::time > '08:00' order by id
select id from t where at::time between '08:00' and '12:00:00' order by id
select string_agg(at::text, ',' order by id), string_agg(x::text, ';' order by id) from t
select 'x' || at, concat(at, day), array_to_string(array[at], ',') from t order by id
select at - day, coalesce(at, day), day - at from t order by id
select string_agg(name, ',' order by id desc), array_agg(name order by name desc nulls last), string_agg(distinct name, ',') is not null, count(*) from t
select flag, array_agg(id order by id), array_agg(id order by id desc), string_agg(name, ',' order by id) filter (where id > 1) from t group by flag order by flag
select array_agg(distinct flag), string_agg(at::text, ',' order by id) from t
select array_agg(id order by price desc nulls last, id), array_agg(price order by id) from t
select localtime is not null
select to_char(generate_series, 'Mon') from generate_series(timestamp '2013-01-01', '2013-03-01', '1 month')
select array_to_json(array_agg(at order by id)) from t
select jsonb_set('{"a":1}', '{a}', '2'), '{"a":1}'::jsonb || '{"b":2}', '{"a":1,"b":2}'::jsonb - 'a'
select jsonb_strip_nulls('{"a":null,"b":1}'), '[1,2]'::jsonb || '3'::jsonb, '["a","b"]'::jsonb - 'a', '[1,2]'::jsonb - 0
select e.* from jsonb_array_elements('[{"a":1},{"a":2}]') e
select x.* from jsonb_each('{"a":1,"b":{"c":2}}') x
select id, exists(select 1 from flights f where f.dep_delay = t.id limit 1) from t order by id
select exists(select 1 from jsonb_array_elements(doc::jsonb->'b') e where e->>'c' = 'x') from t where id = 1
select (select string_agg(e, ',') from jsonb_array_elements_text(doc::jsonb->'b') e) from t where id=1
select id from t where exists (select 1 from unnest(string_to_array(t.list, ',')) u where u = 'b')
select id from t where price = (select max(price) from t u where u.flag is not distinct from t.flag) order by id
select price from t union all select x from t where id <> 2 order by 1
select id, ~id, |/ id::float8, @ (-id) from t order by id
select count(*) from flights where (carrier, time_hour) = ('UA', '2013-01-09 15:00')
select count(*) from flights where (time_hour, flight) > ('2013-01-31 12:00', 100)
select (1, 2) < (1, 3), (1, 2) >= (1, 2), (1, 2) <> (2, 1)
select id, flag = any('{t}'), at = any('{2012-02-29}'), at = any('{2012-02-29 00:00}'::timestamptz[]), name <> all('{one,two}') from t order by id
select id from t where at = any(array['2012-02-29 00:00'::timestamptz, '2013-07-04 12:00'])
select sum(case when flag then 1 else 0 end), pg_typeof(sum(case when flag then 1 else 0 end)) from t
select coalesce(price, 0.00), case when price > 1 then 1.50 else 0.25 end from t order by id
select price::numeric, price::decimal from t order by id
select q.n, q.c from (select name as n, count(*) as c from airports group by name order by count(*) desc, name) q limit 5
select to_date('2013-036','YYYY-DDD'), to_date('2013 06','IYYY IW'), to_timestamp('02/05/2013 10:20 PM','MM/DD/YYYY HH12:MI AM'), to_timestamp('2013-02-05 10:20:30.123','YYYY-MM-DD HH24:MI:SS.MS')
select to_timestamp(year::text || '-' || lpad(month::text, 2, '0'), 'YYYY-MM') t, count(*) from flights group by 1
select 10.0::float8 / nullif(x, 0) from t order by id
select json_build_object('a', 1.50, 'b', at) from t order by id limit 1
select date_bin('6 hours', at, '2001-01-01') from t order by id
select id from t where at between day and day + 1 order by id
-- zones America/New_York Asia/Tokyo Europe/Berlin
select time_hour, date_trunc('day', time_hour), time_hour::date, extract(hour from time_hour), time_hour::timestamp, to_char(time_hour,'HH24'), date_part('day',time_hour), time_hour::text, extract(epoch from time_hour), time_hour::time from flights where flight=1545 order by flights.time_hour limit 1
select count(*) from flights where time_hour >= '2013-02-01' and time_hour < '2013-02-02'
select count(*) from flights where time_hour::date = '2013-02-01'
select count(*) from flights where time_hour >= timestamp '2013-02-01' and time_hour < date '2013-02-02'
select count(*) from flights where time_hour between '2013-02-01' and '2013-02-02'
select count(*) from flights where time_hour in ('2013-02-01 10:00', '2013-02-02 10:00')
select count(*) from flights where date_trunc('month', time_hour) = '2013-02-01'
select timestamp '2013-02-01 10:00'::timestamptz, date '2013-02-01'::timestamptz, '2013-02-01 10:00'::timestamptz, timestamptz '2013-07-01'
select current_date = now()::date, localtimestamp - (now() at time zone 'America/New_York') is not null, date_trunc('day', now()) = current_date::timestamptz
select date_trunc('month', time_hour) m, count(*) from flights group by 1 order by 1
select date_trunc('week', time_hour) m, count(*) from flights group by 1 order by 1 limit 5
select extract(dow from time_hour) d, count(*) from flights group by 1 order by 1
select date_trunc('hour', time_hour) m, count(*) from flights where time_hour > '2013-03-09 20:00' and time_hour < '2013-03-11' group by 1 order by 1 limit 30
select time_hour at time zone 'UTC', time_hour at time zone 'America/New_York' from flights where flight=1545 order by flights.time_hour limit 2
select timestamp '2013-07-01 10:00' at time zone 'Europe/Berlin'
select date_trunc('day', timestamp '2013-07-01 10:00' at time zone 'Europe/Berlin')
select min(time_hour), max(time_hour)::date, count(distinct date_trunc('day', time_hour)) from flights
select g from generate_series(timestamptz '2013-03-30', timestamptz '2013-04-02', interval '1 day') g
select g from generate_series('2013-03-30'::date, '2013-04-02'::date, '1 day') g
select date_trunc('day', day), day::timestamptz, extract(epoch from day), at, at::date from t order by id
select at::date - day from t order by id
select coalesce(at, '2013-01-01'), case when id=1 then at end, greatest(at, '2013-01-01') from t order by id
select at + interval '1 day', at - interval '3 hours', at - '2013-01-01'::timestamptz from t order by id
select to_timestamp(1374000000), to_timestamp('2013-02-05 10:20:30', 'YYYY-MM-DD HH24:MI:SS'), make_timestamptz(2013,7,15,8,15,23.5)
select extract(timezone_hour from at), extract(epoch from at), date_trunc('decade', at) from t order by id
select time_hour::date d, count(*) from flights group by time_hour::date order by 1 limit 3
with x as (select date_trunc('month', time_hour) m, dep_delay from flights) select m, count(*) from x where m >= '2013-03-01' group by m order by m limit 2
select id from t where at between date '2013-01-01' and date '2013-03-10' order by id
select id, at >= day, at = day, at < day from t order by id
select id from t where at in (date '2013-01-01', date '2013-03-09') order by id
select count(*) from t where at in (select day from t)
select at - day, day - at from t order by id
select day at time zone 'UTC', day::timestamptz from t order by id
select coalesce(at, day), greatest(at, day), least(at, day), case when id = 1 then at else day end from t order by id
select array[at, day] from t order by id
select at from t union all select day from t order by 1
select t.id from t join t u on t.at > u.day order by 1
select nullif(at, day) from t order by id
select max(at), max(day), max(coalesce(at,day)) from t
select extract(hour from coalesce(at, day)) from t order by id
select 'x' || at, concat(at, day), array_to_string(array[at], ',') from t order by id
select to_json(at), to_json(day), to_json(at::timestamp) from t order by id
select '2013-03-09 10:00'::timestamptz, '20130309'::timestamptz, '3/9/2013 10:00 am'::timestamptz, '2013-03-09 10:00+02'::timestamp
select date_bin('6 hours', at, '2001-01-01') from t order by id
select id from t where at between day and day + 1 order by id
select at from t except select day from t order by 1
select day at time zone 'UTC' from t order by id
select to_timestamp(year::text || '-01', 'YYYY-MM'), count(*) from flights group by 1
