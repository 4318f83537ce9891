package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	v1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// rootChain is entered from FORWARD and INPUT; a packet that no policy speaks of returns from it.
const rootChain = "LABNET"

// direction is one side of NetworkPolicy: which flag matches the selected pod, and which its peer.
type direction struct {
	kind      netv1.PolicyType
	pod, peer string
}

var directions = []direction{{netv1.PolicyTypeEgress, "-s", "-d"}, {netv1.PolicyTypeIngress, "-d", "-s"}}

// cluster is what policies are decided from; nothing in this file reads or changes anything else.
type cluster struct {
	pods       []*v1.Pod
	namespaces map[string]labels.Set
	policies   []*netv1.NetworkPolicy
}

// firewall is the wanted content of our chains: their names, and lines for iptables-restore.
type firewall struct {
	chains, lines []string
}

func newCluster(pods []*v1.Pod, namespaces []*v1.Namespace, policies []*netv1.NetworkPolicy) cluster {
	c := cluster{namespaces: map[string]labels.Set{}, policies: policies}
	for _, n := range namespaces {
		c.namespaces[n.Name] = n.Labels
	}
	for _, p := range pods {
		done := p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
		if p.Status.PodIP != "" && !p.Spec.HostNetwork && !done {
			c.pods = append(c.pods, p)
		}
	}
	// a fixed order, so that nothing is rewritten when nothing has changed
	sort.Slice(c.pods, func(i, j int) bool { return id(c.pods[i]) < id(c.pods[j]) })
	sort.Slice(policies, func(i, j int) bool { return id(policies[i]) < id(policies[j]) })
	return c
}

func id(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

// rules gives the chains for the pods of one node: a chain per isolated pod and direction, which returns for what
// is allowed and drops the rest.
func (c cluster) rules(node string) firewall {
	f := firewall{
		chains: []string{rootChain},
		lines:  []string{"-A " + rootChain + " -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"},
	}
	for _, pod := range c.pods {
		if pod.Spec.NodeName != node {
			continue
		}
		for _, d := range directions {
			selecting := c.selecting(pod, d.kind)
			if len(selecting) == 0 {
				continue
			}
			chain := chainName(pod, d.kind)
			f.chains = append(f.chains, chain)
			f.lines = append(f.lines, fmt.Sprintf("-A %s %s %s/32 -j %s", rootChain, d.pod, pod.Status.PodIP, chain))
			for _, policy := range selecting {
				for _, match := range c.allowed(policy, d, pod) {
					f.lines = append(f.lines, "-A "+chain+match+" -j RETURN")
				}
			}
			f.lines = append(f.lines, "-A "+chain+" -j DROP")
		}
	}
	return f
}

func (c cluster) selecting(pod *v1.Pod, kind netv1.PolicyType) (found []*netv1.NetworkPolicy) {
	for _, policy := range c.policies {
		if policy.Namespace != pod.Namespace || !selects(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		for _, k := range policy.Spec.PolicyTypes { // never empty: the API server fills in the default
			if k == kind {
				found = append(found, policy)
			}
		}
	}
	return found
}

// allowed gives the matches of a policy's rules for one direction, each a string of iptables flags.
func (c cluster) allowed(policy *netv1.NetworkPolicy, d direction, pod *v1.Pod) (matches []string) {
	add := func(peers []netv1.NetworkPolicyPeer, ports []netv1.NetworkPolicyPort) {
		for _, p := range c.peers(policy.Namespace, peers) {
			target := pod // whose named ports count: of the pod itself, or of the one it calls
			if d.kind == netv1.PolicyTypeEgress {
				target = p.pod
			}
			for _, port := range portMatches(ports, target) {
				match := port
				if p.cidr != "" {
					match = " " + d.peer + " " + p.cidr + port
				}
				matches = append(matches, match)
			}
		}
	}
	if d.kind == netv1.PolicyTypeIngress {
		for _, rule := range policy.Spec.Ingress {
			add(rule.From, rule.Ports)
		}
		return matches
	}
	for _, rule := range policy.Spec.Egress {
		add(rule.To, rule.Ports)
	}
	return matches
}

// peer is a range of addresses, and the pod behind it if it is one. No range means anybody.
type peer struct {
	cidr string
	pod  *v1.Pod
}

func (c cluster) peers(namespace string, wanted []netv1.NetworkPolicyPeer) (found []peer) {
	if len(wanted) == 0 {
		return []peer{{}}
	}
	for _, w := range wanted {
		if w.IPBlock != nil { // `except` is not supported: such a block allows nobody, rather than too many
			if len(w.IPBlock.Except) == 0 && !strings.Contains(w.IPBlock.CIDR, ":") {
				found = append(found, peer{cidr: w.IPBlock.CIDR})
			}
			continue
		}
		for _, pod := range c.pods {
			inNamespace := pod.Namespace == namespace
			if w.NamespaceSelector != nil {
				inNamespace = selects(w.NamespaceSelector, c.namespaces[pod.Namespace])
			}
			if inNamespace && (w.PodSelector == nil || selects(w.PodSelector, pod.Labels)) {
				found = append(found, peer{pod.Status.PodIP + "/32", pod})
			}
		}
	}
	return found
}

func portMatches(ports []netv1.NetworkPolicyPort, target *v1.Pod) (matches []string) {
	if len(ports) == 0 {
		return []string{""}
	}
	for _, p := range ports {
		protocol := strings.ToLower(string(*p.Protocol)) // the API server fills in the default
		match := " -p " + protocol
		switch {
		case p.Port == nil:
			matches = append(matches, match)
		case p.Port.StrVal != "":
			for _, number := range namedPorts(target, p.Port.StrVal, *p.Protocol) {
				matches = append(matches, fmt.Sprintf("%s --dport %d", match, number))
			}
		case p.EndPort != nil:
			matches = append(matches, fmt.Sprintf("%s --dport %d:%d", match, p.Port.IntVal, *p.EndPort))
		default:
			matches = append(matches, fmt.Sprintf("%s --dport %d", match, p.Port.IntVal))
		}
	}
	return matches
}

func namedPorts(pod *v1.Pod, name string, protocol v1.Protocol) (numbers []int32) {
	if pod == nil {
		return nil
	}
	for _, c := range append(append([]v1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		for _, p := range c.Ports {
			if p.Name == name && p.Protocol == protocol {
				numbers = append(numbers, p.ContainerPort)
			}
		}
	}
	return numbers
}

func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}

// chainName stays below iptables' 28 characters; the address is part of it, because a pod's name can come back.
func chainName(pod *v1.Pod, kind netv1.PolicyType) string {
	sum := sha256.Sum256([]byte(id(pod) + "/" + pod.Status.PodIP))
	return rootChain + "-" + string(kind[0]) + "-" + hex.EncodeToString(sum[:6])
}
