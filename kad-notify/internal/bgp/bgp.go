// Package bgp announces host routes through the gRPC API of gobgpd and withdraws them: one path
// of the global table for an address, of the length /32 or /128 (api/gobgp.proto of gobgp v3.10,
// RFC 4271 section 5.1 for the attributes, RFC 1997 for communities).
//
// A path is known by its address alone, so that nothing has to be remembered: announcing it
// again replaces it, withdrawing what is not there is no error. Paths of other addresses are
// never touched.
package bgp

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// DefaultTarget is where gobgpd listens unless told otherwise.
const DefaultTarget = "127.0.0.1:50051"

// Options say how to reach gobgpd.
type Options struct {
	Target string // host:port, or unix:///path; "" for DefaultTarget
	TLS    *TLS   // nil: none
}

// TLS are the files, in PEM, of a connection by TLS.
type TLS struct {
	CAFile     string // "" for the system's authorities
	CertFile   string // our own certificate, "" for none; needs KeyFile
	KeyFile    string
	ServerName string // in gobgpd's certificate; "" for the host of the target
}

// Path is the announcement of one address.
type Path struct {
	Addr        netip.Addr
	NextHop     netip.Addr
	MED         *uint32  // MULTI_EXIT_DISC, less is preferred; nil for none
	Communities []uint32 // as the AS number times 65536 plus the value
}

// Equal reports whether a and b announce the same; the order of communities does not matter.
func (a Path) Equal(b Path) bool {
	sameMED := a.MED == b.MED || a.MED != nil && b.MED != nil && *a.MED == *b.MED
	return a.Addr == b.Addr && a.NextHop == b.NextHop && sameMED &&
		slices.Equal(slices.Sorted(slices.Values(a.Communities)), slices.Sorted(slices.Values(b.Communities)))
}

// Client talks to one gobgpd. While that is down, or has no AS yet, a call waits and tries again
// until its context ends; the error then says what was wrong last.
type Client struct {
	target string
	conn   *grpc.ClientConn
	api    api.GobgpApiClient
}

// New returns a Client, and connects with the first call. The error is one of the TLS files.
func New(opt Options) (*Client, error) {
	target := cmp.Or(opt.Target, DefaultTarget)
	creds := insecure.NewCredentials()
	if opt.TLS != nil {
		config, err := opt.TLS.load()
		if err != nil {
			return nil, fmt.Errorf("gobgpd at %s: %w", target, err)
		}
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("gobgpd at %s: %w", target, err)
	}
	return &Client{target, conn, api.NewGobgpApiClient(conn)}, nil
}

func (t *TLS) load() (*tls.Config, error) {
	config := &tls.Config{ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", t.CertFile, t.KeyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Server is what gobgpd says of itself.
type Server struct {
	ASN      uint32
	RouterID string
}

// Server asks gobgpd for its AS and router id, once: one without an AS is an error.
func (c *Client) Server(ctx context.Context) (Server, error) {
	r, err := c.api.GetBgp(ctx, &api.GetBgpRequest{})
	if err != nil {
		return Server{}, c.error(err)
	}
	if r.Global.GetAsn() == 0 {
		return Server{}, fmt.Errorf("gobgpd at %s: has no AS", c.target)
	}
	return Server{r.Global.Asn, r.Global.RouterId}, nil
}

// Announce makes p the path of its address, and looks whether it is there: while gobgpd applies its
// configuration it says yes to a path and drops it.
func (c *Client) Announce(ctx context.Context, p Path) error {
	path, err := hostRoute(p.Addr)
	if err != nil {
		return err
	}
	if !p.NextHop.IsValid() || p.NextHop.IsUnspecified() || p.NextHop.Is4() != p.Addr.Is4() {
		return fmt.Errorf("announce %s: %s is no next hop for it", p.Addr, p.NextHop)
	}
	if path.Pattrs, err = attributes(p); err != nil {
		return err
	}
	err = c.retry(ctx, func() error {
		_, err := c.api.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: path}, grpc.WaitForReady(true))
		if err != nil {
			return err
		}
		if _, ok, err := c.find(ctx, p.Addr); err != nil || ok {
			return err
		}
		return errDropped
	})
	if err != nil {
		return fmt.Errorf("announce %s: %w", prefix(p.Addr), err)
	}
	return nil
}

// Withdraw removes the path of an address.
func (c *Client) Withdraw(ctx context.Context, addr netip.Addr) error {
	path, err := hostRoute(addr)
	if err != nil {
		return err
	}
	path.IsWithdraw = true // else gobgpd wants the next hop
	err = c.retry(ctx, func() error { return c.deletePath(ctx, path) })
	if err != nil {
		return fmt.Errorf("withdraw %s: %w", prefix(addr), err)
	}
	return nil
}

// deletePath is the only place that sends DeletePath: without a path it would delete every path
// of every owner.
func (c *Client) deletePath(ctx context.Context, path *api.Path) error {
	if path.GetNlri() == nil {
		panic("bgp: DeletePath without a prefix")
	}
	_, err := c.api.DeletePath(ctx, &api.DeletePathRequest{TableType: api.TableType_GLOBAL, Family: path.Family, Path: path},
		grpc.WaitForReady(true))
	return err
}

// Find returns our path of an address, and whether there is one: gobgpd's own, not one heard
// from a neighbour.
func (c *Client) Find(ctx context.Context, addr netip.Addr) (found Path, ok bool, err error) {
	err = c.retry(ctx, func() error {
		found, ok, err = c.find(ctx, addr)
		return err
	})
	if err != nil {
		err = fmt.Errorf("look for %s: %w", prefix(addr), err)
	}
	return found, ok, err
}

func (c *Client) find(ctx context.Context, addr netip.Addr) (Path, bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.api.ListPath(ctx, &api.ListPathRequest{
		TableType: api.TableType_GLOBAL, Family: family(addr),
		Prefixes: []*api.TableLookupPrefix{{Prefix: prefix(addr), Type: api.TableLookupPrefix_EXACT}},
	}, grpc.WaitForReady(true))
	if err != nil {
		return Path{}, false, err
	}
	for {
		r, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return Path{}, false, nil
		case err != nil:
			return Path{}, false, err
		}
		for _, p := range r.Destination.GetPaths() {
			if isLocal(p) && r.Destination.Prefix == prefix(addr) {
				return read(addr, p), true, nil
			}
		}
	}
}

// isLocal reports whether p is of gobgpd's own, by AddPath: one without a neighbour.
func isLocal(p *api.Path) bool {
	neighbour, err := netip.ParseAddr(p.NeighborIp)
	return err != nil || neighbour.IsUnspecified()
}

func read(addr netip.Addr, p *api.Path) Path {
	found := Path{Addr: addr}
	for _, packed := range p.Pattrs {
		attribute, err := packed.UnmarshalNew()
		if err != nil {
			continue // an attribute that we do not set
		}
		switch a := attribute.(type) {
		case *api.NextHopAttribute:
			found.NextHop, _ = netip.ParseAddr(a.NextHop)
		case *api.MpReachNLRIAttribute:
			if len(a.NextHops) > 0 {
				found.NextHop, _ = netip.ParseAddr(a.NextHops[0])
			}
		case *api.MultiExitDiscAttribute:
			found.MED = &a.Med
		case *api.CommunitiesAttribute:
			found.Communities = a.Communities
		}
	}
	return found
}

// hostRoute returns the path of one address, without attributes.
func hostRoute(addr netip.Addr) (*api.Path, error) {
	if !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" || addr.IsUnspecified() {
		return nil, fmt.Errorf("%s is no address to announce", addr)
	}
	nlri, err := anypb.New(&api.IPAddressPrefix{Prefix: addr.String(), PrefixLen: uint32(addr.BitLen())})
	return &api.Path{Family: family(addr), Nlri: nlri}, err
}

// attributes returns those of p; NEXT_HOP is good for IPv6 too, gobgpd turns it into MP_REACH_NLRI.
func attributes(p Path) ([]*anypb.Any, error) {
	var all []*anypb.Any
	var errs []error
	add := func(a *anypb.Any, err error) { all, errs = append(all, a), append(errs, err) }
	add(anypb.New(&api.OriginAttribute{Origin: 0})) // IGP
	add(anypb.New(&api.NextHopAttribute{NextHop: p.NextHop.String()}))
	if p.MED != nil {
		add(anypb.New(&api.MultiExitDiscAttribute{Med: *p.MED}))
	}
	if len(p.Communities) > 0 {
		add(anypb.New(&api.CommunitiesAttribute{Communities: p.Communities}))
	}
	return all, errors.Join(errs...)
}

func family(addr netip.Addr) *api.Family {
	afi := api.Family_AFI_IP
	if addr.Is6() {
		afi = api.Family_AFI_IP6
	}
	return &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}
}

func prefix(addr netip.Addr) string { return netip.PrefixFrom(addr, addr.BitLen()).String() }

// retryInterval is the pause after an answer of a gobgpd that is about to start or to end.
const retryInterval = 50 * time.Millisecond

// retry calls f until it succeeds, fails for good, or ctx ends. f itself waits for a connection.
func (c *Client) retry(ctx context.Context, f func() error) error {
	var last error
	for {
		err := f()
		if err == nil {
			return nil
		}
		if last == nil || status.Code(err) != codes.DeadlineExceeded && ctx.Err() == nil {
			last = err // at the end of ctx the answer before it says more
		}
		if !passing(err) {
			return c.error(last)
		}
		select {
		case <-ctx.Done():
			return c.error(last)
		case <-time.After(retryInterval):
		}
	}
}

// notStarted is what a gobgpd without an AS says (pkg/server/server.go).
const notStarted = "bgp server hasn't started yet"

var errDropped = errors.New("takes the path but does not keep it, look at its policies")

func passing(err error) bool {
	return errors.Is(err, errDropped) || status.Code(err) == codes.Unavailable || strings.Contains(err.Error(), notStarted)
}

// error puts an error of gRPC into words: what the last attempt to connect met, or what gobgpd
// answered.
func (c *Client) error(err error) error {
	msg := status.Convert(err).Message()
	if errors.Is(err, errDropped) {
		msg = errDropped.Error()
	}
	for _, mark := range []string{"latest balancer error: ", "last error: ", "error while dialing: ", "desc = "} {
		if _, after, ok := strings.Cut(msg, mark); ok {
			msg = after
		}
	}
	msg = strings.Trim(msg, `" `)
	if i := strings.LastIndex(msg, "connect: "); i >= 0 {
		msg = msg[i+len("connect: "):]
	}
	switch {
	case strings.Contains(msg, notStarted):
		msg = "has no AS"
	case status.Code(err) == codes.DeadlineExceeded && msg == context.DeadlineExceeded.Error():
		msg = "no answer in time"
	}
	return fmt.Errorf("gobgpd at %s: %s", c.target, msg)
}
