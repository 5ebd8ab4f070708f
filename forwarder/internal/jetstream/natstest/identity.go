package natstest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

// A Key is an nkey.
type Key struct {
	Public string
	pair   nkeys.KeyPair
}

// NewUser makes the key of a user.
func NewUser(t testing.TB) Key { return newKey(t, nkeys.PrefixByteUser) }

func newKey(t testing.TB, kind nkeys.PrefixByte) Key {
	t.Helper()
	pair, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return Key{public, pair}
}

// File writes the seed into a file.
func (k Key) File(t testing.TB) string {
	t.Helper()
	seed, err := k.pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "user.nk", string(seed))
}

func write(t testing.TB, name, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// An Operator has an account with JetStream, whose users come with a JWT.
type Operator struct {
	Config  string // of the servers
	account Key
}

// NewOperator makes an operator and his account.
func NewOperator(t testing.TB) *Operator {
	t.Helper()
	operator, system := newKey(t, nkeys.PrefixByteOperator), newKey(t, nkeys.PrefixByteAccount)
	o := &Operator{account: newKey(t, nkeys.PrefixByteAccount)}
	limits := map[string]any{
		"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
		"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
	}
	o.Config = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n%s: %s\n%s: %s\n}\n",
		sign(t, operator, operator.Public, time.Time{}, map[string]any{"type": "operator", "system_account": system.Public}), system.Public,
		system.Public, sign(t, operator, system.Public, time.Time{}, map[string]any{"type": "account"}),
		o.account.Public, sign(t, operator, o.account.Public, time.Time{}, map[string]any{"type": "account", "limits": limits}))
	return o
}

// Credentials writes those of a user, which are good until then; zero: for ever.
func (o *Operator) Credentials(t testing.TB, until time.Time) (file string) {
	t.Helper()
	user := NewUser(t)
	token := sign(t, o.account, user.Public, until, map[string]any{"type": "user", "subs": -1, "data": -1, "payload": -1})
	seed, err := user.pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "user.creds", fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"+
		"-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", token, seed))
}

// sign makes a JWT as NATS has them, version 2.
func sign(t testing.TB, issuer Key, subject string, until time.Time, claims map[string]any) string {
	t.Helper()
	claims["version"] = 2
	body := map[string]any{"jti": subject, "iat": time.Now().Add(-time.Hour).Unix(), "iss": issuer.Public, "sub": subject, "name": subject, "nats": claims}
	if !until.IsZero() {
		body["exp"] = until.Unix()
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." + base64.RawURLEncoding.EncodeToString(text)
	signature, err := issuer.pair.Sign([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	return token + "." + base64.RawURLEncoding.EncodeToString(signature)
}
