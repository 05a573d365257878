drop table checkpoint, chain, entry;
