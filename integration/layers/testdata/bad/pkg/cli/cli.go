package cli

import _ "github.com/urfave/cli/v2"
