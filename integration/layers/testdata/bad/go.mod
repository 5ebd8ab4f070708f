module kad

go 1.26.0
