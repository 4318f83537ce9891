package main

import (
	"fmt"
	"log"
	"os/exec"
	"strings"
)

var lastRules string

// applyRules replaces the content of all our chains in one transaction and removes those of pods that are gone.
func applyRules(f firewall) error {
	current, err := iptables("-S")
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	input := []string{"*filter"}
	for _, c := range f.chains {
		wanted[c] = true
		input = append(input, fmt.Sprintf(":%s - [0:0]", c)) // makes the chain, or empties it
	}
	var stale []string
	for _, line := range strings.Split(current, "\n") {
		if c, ok := strings.CutPrefix(line, "-N "); ok && strings.HasPrefix(c, rootChain+"-") && !wanted[c] {
			input = append(input, fmt.Sprintf(":%s - [0:0]", c))
			stale = append(stale, "-X "+c)
		}
	}
	input = append(append(append(input, f.lines...), stale...), "COMMIT", "")
	rules := strings.Join(input, "\n")
	if err := run(rules, "iptables-restore", "-w", "--noflush"); err != nil {
		return err
	}
	if rules != lastRules {
		log.Printf("firewall: %d chains, %d rules", len(f.chains), len(f.lines))
		lastRules = rules
	}
	// From a pod to anything, and from a pod to its own node; before kube-proxy's own rules, which accept.
	for _, chain := range []string{"FORWARD", "INPUT"} {
		if err := ensureFirst("filter", chain, "-j "+rootChain); err != nil {
			return err
		}
	}
	return nil
}

// ensureFirst makes a rule the first of its chain: others put theirs in front from time to time.
func ensureFirst(table, chain, rule string) error {
	current, err := iptables("-t", table, "-S", chain)
	if err != nil {
		return err
	}
	line := "-A " + chain + " " + rule
	var have []string
	for _, l := range strings.Split(current, "\n") {
		if strings.HasPrefix(l, "-A ") {
			have = append(have, l)
		}
	}
	if len(have) > 0 && have[0] == line {
		return nil
	}
	for _, l := range have {
		if l == line {
			if _, err := iptables(strings.Fields("-t " + table + " -D " + chain + " " + rule)...); err != nil {
				return err
			}
		}
	}
	_, err = iptables(strings.Fields("-t " + table + " -I " + chain + " 1 " + rule)...)
	return err
}

func iptables(args ...string) (string, error) {
	out, err := exec.Command("iptables", append([]string{"-w"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func run(input string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
