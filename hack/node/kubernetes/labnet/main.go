// labnet is the pod network of a test cluster on one layer-2 network; one process runs on each node. It
//   - writes the node's CNI configuration (ptp and host-local) from the podCIDR of its Node,
//   - routes the other nodes' podCIDRs to their addresses and masquerades what leaves the pod network (network.go),
//   - enforces NetworkPolicies for the node's pods by iptables (policy.go decides, firewall.go applies).
//
// It is test equipment: IPv4 only; a new pod is open until its rules are written; a connection that exists
// when a policy appears is not cut; traffic from a pod's own node is always allowed, as the kubelet probes from it.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	coalesce = 100 * time.Millisecond
	resync   = 30 * time.Second
	retry    = time.Second
)

func main() {
	factory := informers.NewSharedInformerFactory(client(), 5*time.Minute)
	wake := make(chan struct{}, 1)
	poke := func() {
		select {
		case wake <- struct{}{}:
		default: // a pass is due already
		}
	}
	watch(factory, poke)
	for tick := time.NewTicker(resync); ; {
		if err := pass(factory, os.Getenv("NODE_NAME"), os.Getenv("POD_SUBNET")); err != nil {
			log.Print(err)
			time.AfterFunc(retry, poke)
		}
		select {
		case <-wake:
			time.Sleep(coalesce)
		case <-tick.C:
		}
	}
}

// client talks to the control plane by its own address: before kube-proxy has written its rules, the address of
// the Service would lead out of the machine.
func client() kubernetes.Interface {
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	if endpoint := os.Getenv("CONTROL_PLANE_ENDPOINT"); endpoint != "" {
		config.Host = "https://" + endpoint
	}
	return kubernetes.NewForConfigOrDie(config)
}

func watch(factory informers.SharedInformerFactory, poke func()) {
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		UpdateFunc: func(any, any) { poke() },
		DeleteFunc: func(any) { poke() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Nodes().Informer(),
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			log.Fatal(err)
		}
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
}

// pass brings the node to the state that the cluster's objects ask for; it may be run at any time.
func pass(factory informers.SharedInformerFactory, node, podSubnet string) error {
	nodes, err := factory.Core().V1().Nodes().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	if err := syncNetwork(nodes, node, podSubnet); err != nil {
		return err
	}
	pods, err := factory.Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	namespaces, err := factory.Core().V1().Namespaces().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	policies, err := factory.Networking().V1().NetworkPolicies().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	return applyRules(newCluster(pods, namespaces, policies).rules(node))
}
