-- servicegen:each
drop table gadgets;
-- servicegen:end
