// The kinds of views: each folder's index registers its own with registerView().
import "./graph/index.js";
import "./tables/index.js";
import "./run/index.js";
