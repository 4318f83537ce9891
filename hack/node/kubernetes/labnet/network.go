package main

import (
	"fmt"
	"log"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
)

const (
	cniFile  = "/etc/cni/net.d/10-labnet.conflist"
	ourRoute = 172 // routing protocol number that marks our routes

	// ipMasq is off: it would hide a pod's address from pods on other nodes, and policies there would see the node.
	cniConfig = `{ "cniVersion": "0.4.0", "name": "labnet", "plugins": [
  { "type": "ptp", "ipMasq": false, "ipam": {
      "type": "host-local", "dataDir": "/run/cni-ipam",
      "ranges": [[{ "subnet": %q }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }
`
)

func syncNetwork(nodes []*v1.Node, self, podSubnet string) error {
	gateways := map[string]net.IP{}
	for _, n := range nodes {
		switch {
		case n.Spec.PodCIDR == "":
		case n.Name == self:
			if err := writeCNI(n.Spec.PodCIDR); err != nil {
				return err
			}
		default:
			if ip := internalIP(n); ip != nil {
				gateways[n.Spec.PodCIDR] = ip
			}
		}
	}
	if err := syncRoutes(gateways); err != nil {
		return err
	}
	return ensureFirst("nat", "POSTROUTING", fmt.Sprintf("-s %s ! -d %s -j MASQUERADE", podSubnet, podSubnet))
}

func internalIP(n *v1.Node) net.IP {
	for _, a := range n.Status.Addresses {
		if a.Type == v1.NodeInternalIP {
			return net.ParseIP(a.Address)
		}
	}
	return nil
}

// writeCNI replaces the file at once: containerd watches the folder and may read at any moment.
func writeCNI(podCIDR string) error {
	content := fmt.Sprintf(cniConfig, podCIDR)
	if old, err := os.ReadFile(cniFile); err == nil && string(old) == content {
		return nil
	}
	log.Print("CNI configuration for ", podCIDR)
	if err := os.WriteFile(cniFile+".tmp", []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(cniFile+".tmp", cniFile)
}

// syncRoutes makes our routes exactly these: podCIDR to the address of its node.
func syncRoutes(gateways map[string]net.IP) error {
	have, err := netlink.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{Protocol: ourRoute}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return err
	}
	for i, r := range have {
		if ip, wanted := gateways[r.Dst.String()]; wanted && ip.Equal(r.Gw) {
			delete(gateways, r.Dst.String())
		} else if err := netlink.RouteDel(&have[i]); err != nil {
			return err
		}
	}
	for cidr, ip := range gateways {
		_, dst, err := net.ParseCIDR(cidr)
		if err != nil {
			return err
		}
		log.Print("route to ", cidr, " via ", ip)
		if err := netlink.RouteReplace(&netlink.Route{Dst: dst, Gw: ip, Protocol: ourRoute}); err != nil {
			return err
		}
	}
	return nil
}
