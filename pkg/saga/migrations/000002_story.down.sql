drop table saga_story;
