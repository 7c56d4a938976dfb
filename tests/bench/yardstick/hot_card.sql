-- One redemption as a transaction of its own; all of them on one card, so they queue for its lock.
\set i random(0,0)
\set r random(1,9000000000000000)
begin;
-- Was this request decided before?
select resp from idem where client='c' and req=:r::text;
select id,balance,held,state,ver,cur,exp from card where code='GC'||lpad(:i::text,14,'0') for update;
update card set balance=balance-5, ver=ver+1 where id=:i;
insert into txn(card_id,kind,amount,after_,req,at) values(:i,1,-5,0,:r::text,0);
-- The answer, for whoever asks again.
insert into idem values('c',:r::text,'\x00','\x00');
commit;
