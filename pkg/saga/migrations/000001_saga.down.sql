drop function souk_saga_require(boolean, text, text);
drop function souk_saga_fence(boolean, text, bigint, text);
drop table saga_step;
drop table saga;
