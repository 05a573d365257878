package productcsv

// Unguard is unguard, for tests.
var Unguard = unguard
