select key from secret where purpose = $1
