package provider

import (
	"encoding/json"
	"fmt"

	"github.com/warmlane/warmlane/gateway/failure"
)

// tool is a function that the model may call.
type tool struct {
	name, description string
	parameters        json.RawMessage // a JSON schema; never empty
	strict            bool
}

// toolChoice is what tool_choice asks for.
type toolChoice struct {
	mode choiceMode
	name string // of the one function, with chooseOne
}

type choiceMode uint8

const (
	chooseAuto choiceMode = iota
	chooseNone
	chooseAny
	chooseOne
)

type wireTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
		Strict      bool            `json:"strict"`
	} `json:"function"`
}

// noParameters is the schema of a function that takes none.
var noParameters = json.RawMessage(`{"type":"object","properties":{}}`)

func (c *chat) readTools(tools []wireTool, choice json.RawMessage) *failure.Error {
	for i := range tools {
		t, at := &tools[i], fmt.Sprintf("tools[%d]", i)
		if t.Type != "" && t.Type != "function" {
			return unsupported(at+".type", "Tools of type %.40q cannot be used with this model.", t.Type)
		}
		if t.Function.Name == "" {
			return failure.Bad(at+".function.name", "%s.function.name is missing.", at)
		}
		schema := t.Function.Parameters
		if len(schema) == 0 || schema[0] != '{' || string(schema) == "{}" {
			schema = noParameters
		}
		c.tools = append(c.tools, tool{t.Function.Name, t.Function.Description, schema, t.Function.Strict})
	}
	return c.readChoice(choice)
}

func (c *chat) readChoice(raw json.RawMessage) *failure.Error {
	if len(raw) == 0 || raw[0] == 'n' {
		return nil
	}
	var named struct {
		Type     string `json:"type"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	switch string(raw) {
	case `"auto"`:
	case `"none"`:
		c.choice.mode = chooseNone
	case `"required"`:
		c.choice.mode = chooseAny
	default:
		if json.Unmarshal(raw, &named) != nil || named.Type != "function" || named.Function.Name == "" {
			return unsupported("tool_choice", "tool_choice must be none, auto, required or one function for this model.")
		}
		c.choice = toolChoice{chooseOne, named.Function.Name}
	}
	return nil
}
