package main

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/yannh/kubeconform/pkg/validator"
)

var outcomes = map[validator.Status]string{
	validator.Valid:   "Valid",
	validator.Invalid: "Invalid",
	validator.Error:   "Error",
	validator.Skipped: "Skipped",
	validator.Empty:   "Empty",
}

func kubeconform(folder string) (func(map[string]any) (verdict, error), error) {
	location := folder + "/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
	judge, err := validator.New([]string{location}, validator.Opts{Strict: true})
	if err != nil {
		return nil, err
	}
	return func(object map[string]any) (verdict, error) {
		text, err := json.Marshal(object)
		if err != nil {
			return verdict{}, err
		}
		result := judge.Validate("object", io.NopCloser(bytes.NewReader(text)))[0]
		message := ""
		if result.Err != nil {
			message = result.Err.Error()
		}
		return verdict{Status: outcomes[result.Status], Message: message}, nil
	}, nil
}
