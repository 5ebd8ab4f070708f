// Package atomicfile writes small files that others read at any time.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write gives the file of that name, of mode 0644, new contents in one step, by rename(2): a reader finds
// the old ones or the new. It is not forced to the disk. After an error the old ones stand.
func Write(name, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(text)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
