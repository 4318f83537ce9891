// Judge says about Kubernetes objects what GitOps tools would say, by the libraries that those tools use.
//
//	judge kstatus < objects.json             kstatus, which Flux, kapp and cli-utils wait by
//	judge argocd health.lua < objects.json   a health script, run as Argo CD runs it
//	judge kubeconform folder < objects.json  kubeconform, by which CI checks manifests against the schemas of a folder
//
// All read a JSON array of objects and print a JSON array of {"status", "message"}.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(words []string) error {
	var objects []map[string]any
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		return fmt.Errorf("reading objects: %w", err)
	}
	judge, err := choose(words)
	if err != nil {
		return err
	}
	verdicts := make([]verdict, 0, len(objects))
	for _, object := range objects {
		one, err := judge(object)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, one)
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func choose(words []string) (func(map[string]any) (verdict, error), error) {
	switch {
	case len(words) == 1 && words[0] == "kstatus":
		return kstatus, nil
	case len(words) == 2 && words[0] == "argocd":
		script, err := os.ReadFile(words[1])
		if err != nil {
			return nil, err
		}
		return func(object map[string]any) (verdict, error) { return argocd(string(script), object) }, nil
	case len(words) == 2 && words[0] == "kubeconform":
		return kubeconform(words[1])
	}
	return nil, fmt.Errorf("expected `kstatus`, `argocd SCRIPT` or `kubeconform FOLDER`, got %q", words)
}

func kstatus(object map[string]any) (verdict, error) {
	result, err := status.Compute(&unstructured.Unstructured{Object: withIntegers(object)})
	if err != nil {
		return verdict{}, err
	}
	return verdict{Status: string(result.Status), Message: result.Message}, nil
}

// withIntegers gives whole numbers the type that the Kubernetes libraries expect; JSON decoding made them floats.
func withIntegers(object map[string]any) map[string]any {
	return convert(object).(map[string]any)
}

func convert(value any) any {
	switch typed := value.(type) {
	case map[string]any:
		for name, child := range typed {
			typed[name] = convert(child)
		}
	case []any:
		for place, child := range typed {
			typed[place] = convert(child)
		}
	case float64:
		if typed == float64(int64(typed)) {
			return int64(typed)
		}
	}
	return value
}
