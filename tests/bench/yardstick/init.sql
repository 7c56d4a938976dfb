-- The tables of a redemption written by hand, in an empty database: cards, history, request ids.
-- Ten thousand cards, each with more money than any run can spend.
create table card(id bigint primary key, code text unique, balance bigint, held bigint, state int, ver int, cur text, exp bigint);
create table txn(id bigserial primary key, card_id bigint, kind int, amount bigint, after_ bigint, req text, at bigint);
create index t1 on txn(card_id,id);
create table idem(client text, req text, fp bytea, resp bytea, primary key(client,req));
insert into card select i, 'GC'||lpad(i::text,14,'0'), 1000000000000,0,1,0,'USD',0 from generate_series(0,9999) i;
