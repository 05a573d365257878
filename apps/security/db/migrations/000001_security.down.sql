drop table event, sighting, report, total, tally;
