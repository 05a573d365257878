lock table sale_counted in share row exclusive mode
