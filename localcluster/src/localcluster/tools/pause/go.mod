module autoglm.io/localcluster/tools/pause

go 1.26.0
