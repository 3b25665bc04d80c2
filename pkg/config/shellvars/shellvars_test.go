// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package shellvars

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// plain is a file in which every value is just what it is.
const plain = `# comment
A=one
B="two words"   # comment
C='it''s' D=second; E=third
export F=exported
G="a \"quoted\" \\ \$HOME \` + "`" + `x\` + "`" + ` \n"
H=un\ quoted\$
I=
J=""
K=first
K=last
L=be
L+=gin
L+=" end"
M="line one \
continued"
N=a\
b
O='literal $HOME $(x) \n "'
P="hash # inside" Q=in#side
	R=indented
S="multi
line"
T=cost$ U="$"
V=x=y
W="100%"
X+=new
Y="'" Z='"'
AA=a"b"'c'\d
`

// TestSameAsShell compares with what shells make of the same text.
func TestSameAsShell(t *testing.T) {
	vars, err := Parse(plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, shell := range []string{"bash", "busybox"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("no %s here", shell)
			continue
		}
		args := []string{"-c"}
		if shell == "busybox" {
			args = []string{"ash", "-c"}
		}
		if exec.Command(path, append(args, "A+=x")...).Run() != nil {
			t.Logf("%s does not know +=", shell)
			continue
		}
		for _, v := range vars {
			script := plain + "\nprintf %s. \"$" + v.Name + "\"\n"
			out, err := exec.Command(path, append(args, script)...).Output()
			if err != nil {
				t.Fatalf("%s: %v", shell, err)
			}
			if got, want := v.Value+".", string(out); got != want || v.Computed != "" {
				t.Errorf("%s: %s = %q, computed %q, want %q", shell, v.Name, got, v.Computed, want)
			}
		}
	}
	if len(vars) != 27 {
		t.Errorf("Parse found %d variables, want 27", len(vars))
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		text string
		want []Var
	}{
		{"", nil},
		{"\n#A=1", nil},
		{"A=1", []Var{{"A", "1", 1, ""}}},
		{"A=1\nB=2\n\nA=3\nB+=4\n", []Var{{"A", "3", 4, ""}, {"B", "24", 5, ""}}},
		{"A=$HOME", []Var{{"A", "", 1, "$HOME"}}},
		{"A=\"x $HOME/y ${Z:-$(w)}\"", []Var{{"A", "x /y ", 1, "$HOME"}}},
		{"A=\"$(uname -r | sed \"s/(x)//\")\" B=1", []Var{{"A", "", 1, `$(uname -r | sed "s/(x)//")`}, {"B", "1", 1, ""}}},
		{"A=`date \\`x\\``z", []Var{{"A", "z", 1, "`date \\`x\\``"}}},
		{"A=${B}$1$$", []Var{{"A", "", 1, "${B}"}}},
		{"A=$\"x\" B=$'y'", []Var{{"A", "", 1, "$\"x\""}, {"B", "", 1, "$'y'"}}},
		{"A=~/x B=a~ C='~'", []Var{{"A", "~/x", 1, "~"}, {"B", "a~", 1, ""}, {"C", "~", 1, ""}}},
		{"A=$B\nA+=x", []Var{{"A", "x", 2, "$B"}}},
		{"A=$B\nA=x", []Var{{"A", "x", 2, ""}}},
		{"A=1\r\nB=2\r\n", []Var{{"A", "1", 1, ""}, {"B", "2", 2, ""}}},
		{"A=x\\", []Var{{"A", `x\`, 1, ""}}},
	} {
		got, err := Parse(test.text)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", test.text, got, err, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"A=1\necho hello\n", `line 2: "echo hello" is no assignment, and commands are not run`},
		{"if [ -e /x ]; then\n", `line 1: "if [ -e /x ]; then" is no assignment`},
		{". /etc/other", `line 1: ". /etc/other" is no assignment`},
		{"A=1 reboot", `line 1: "reboot" is no assignment`},
		{"1A=2", `line 1: "1A=2" is no assignment`},
		{"A B=2", `line 1: "A B=2" is no assignment`},
		{"A=1 | sh", `line 1: "| sh" is no assignment`},
		{"A=1>x", `line 1: '>' without quotes belongs to a command`},
		{"A=(1 2)", `line 1: '(' without quotes belongs to a command`},
		{"\nA='x\n", `line 2: the quote in "'x\n" is not closed`},
		{"A=\"x\n\n", "line 3: the quote in \"\\\"x\\n\\n\" is not closed"},
		{"A=$(x", `line 1: "$(x" is not closed by ')'`},
		{"A=\"${x\"", `line 1: "${x\"" is not closed by '}'`},
		{"A=`x", "line 1: \"`x\" is not closed by '`'"},
		{strings.Repeat("#", maxSize+1), "larger than 1048576 bytes"},
	} {
		if got, err := Parse(test.text); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("Parse(%.60q) = %+v, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(plain)
	f.Add("A=\"$(x ${y})\" B=`z` C=$'q'\nexport D+=1;E=~\n")
	f.Fuzz(func(t *testing.T, text string) {
		vars, err := Parse(text)
		if err != nil && vars != nil {
			t.Errorf("Parse(%q) = %+v, %v", text, vars, err)
		}
		// Quoted, a value is read as it is.
		for _, v := range vars {
			quoted := v.Name + "='" + strings.ReplaceAll(v.Value, "'", `'\''`) + "'"
			again, err := Parse(quoted)
			if err != nil || len(again) != 1 || again[0].Value != v.Value || again[0].Computed != "" {
				t.Errorf("Parse(%q) = %+v, %v, want the value %q", quoted, again, err, v.Value)
			}
		}
	})
}
