package main

import (
	"fmt"
	"time"

	"kad/integration/lab"
)

func (d *demo) showForwarder(bin, examples string) {
	d.step(bold, "Start keepalived and forwarder on two relays, and forwarder on their client, with the files of examples/pair.")
	d.pair = lab.NewForwarderPair(d, bin, examples)
	d.pair.Up()
	d.pair.Client.Start(lab.Forwarder)

	d.step(bold, "The client logs 5000 messages a second, for 15 seconds.")
	traffic := d.pair.Send(5000, 15*time.Second)
	d.cluster()
	d.status(d.pair.Loghost01)

	d.step(bold, "Kill forwarder on loghost01: kad-track sees it die, keepalived lets the VIP go, the client takes the next one.")
	killed := time.Now()
	d.pair.Loghost01.Kill(lab.Forwarder)
	d.say("loghost02 has 192.168.245.100 too, %d ms after the kill.", d.pair.Await(lab.Down01).Sub(killed).Milliseconds())
	d.cluster()
	d.status(d.pair.Client)

	d.step(bold, "Start forwarder on loghost01 again: the VIP comes home.")
	started := time.Now()
	d.pair.Loghost01.Start(lab.Forwarder)
	d.say("loghost01 has 192.168.245.100 again, %s after the start.", seconds(d.pair.Await(lab.Normal).Sub(started)))
	d.cluster()

	d.step(bold, "Wait for the last message, and count what is in the files of both relays.")
	r := traffic.Report()
	d.say("%d sent, %d received, %d lost, %d came twice.", r.Sent, r.Received, r.Lost, r.Duplicated)
	d.check(r.Sent > 0 && r.Lost == 0, fmt.Sprintf("%d messages are lost", r.Lost))
}

func (d *demo) status(h *lab.Host) {
	d.print(h.Name+":~ # forwarder status", h.Run("forwarder", "status"))
}
