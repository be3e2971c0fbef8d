// The kinds of views: each folder's index registers its own with registerView().
export {};
