package option

import (
	"os/user"
	"strconv"
)

// LookupOwner finds the numbers of a user and a group, -1 for one that is not named.
func LookupOwner(owner, group string) (uid, gid int, err error) {
	if uid, err = lookupID(owner, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	}); err != nil {
		return 0, 0, Errorf("owner", "%w", err)
	}
	if gid, err = lookupID(group, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	}); err != nil {
		return 0, 0, Errorf("group", "%w", err)
	}
	return uid, gid, nil
}

// lookupID is the number that name is, or that lookup finds for it.
func lookupID(name string, lookup func(name string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	id, err := lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(id)
}
