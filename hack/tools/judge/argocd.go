package main

import (
	"context"
	"fmt"
	"sort"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// What Argo CD gives a health script of argocd-cm: these libraries, one second, and the object as a global named obj.
// It adds two functions of os to ask for the time, which a health script has no use for.
var libraries = []struct {
	name string
	open lua.LGFunction
}{
	{lua.LoadLibName, lua.OpenPackage},
	{lua.BaseLibName, lua.OpenBase},
	{lua.TabLibName, lua.OpenTable},
}

const scriptTime = time.Second

func argocd(script string, object map[string]any) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range libraries {
		state.Push(state.NewFunction(library.open))
		state.Push(lua.LString(library.name))
		state.Call(1, 0)
	}
	limited, cancel := context.WithTimeout(context.Background(), scriptTime)
	defer cancel()
	state.SetContext(limited)
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return verdict{}, fmt.Errorf("the script failed: %w", err)
	}
	answer, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return verdict{}, fmt.Errorf("the script gave a %s in place of a table", state.Get(-1).Type())
	}
	return verdict{Status: text(answer, "status"), Message: text(answer, "message")}, nil
}

func text(table *lua.LTable, name string) string {
	value, isString := table.RawGetString(name).(lua.LString)
	if !isString {
		return ""
	}
	return string(value)
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch typed := value.(type) {
	case bool:
		return lua.LBool(typed)
	case float64:
		return lua.LNumber(typed)
	case string:
		return lua.LString(typed)
	case []any:
		table := state.CreateTable(len(typed), 0)
		for _, child := range typed {
			table.Append(toLua(state, child))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(typed))
		names := make([]string, 0, len(typed))
		for name := range typed {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			table.RawSetString(name, toLua(state, typed[name]))
		}
		return table
	}
	return lua.LNil
}
